//! Links that lend a login: who makes them, for whom they are good, and what ends them. That somebody works on a machine with
//! one is tested in the browser.

use sekisho_arm::{CallerRef, PrincipalKind, StoreError};
use sekisho_bastion::host::Recording;
use sekisho_bastion::session::{self, Session};
use sekisho_store::Store;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::kit::{Answer, FLEET, Http, NETWORK, at, until};
use crate::seed::{ADMIN_LOGIN, OWNER, USER_LOGIN, World, grant};
use crate::signin::{browser, person};

struct Lending {
    world: World,
    host: String,
    vm: String,
}

impl Lending {
    /// A bastion host that makes links, before a machine that is not connected.
    async fn new() -> Lending {
        let world = World::new().await;
        let (host, vm) = (world.network("bastionHosts/gate"), crate::jit::machine(&world));
        let body = json!({"location": "home", "sku": {"name": "Standard"},
            "properties": {"enableShareableLink": true}});
        world.page().put(&at(&host, NETWORK), body).await.expect(201);
        Lending { world, host, vm }
    }

    async fn make(&self, by: &Http, wishes: Value) -> Answer {
        let body = json!({"vms": [{"vm": {"id": self.vm}, "sekisho": wishes}]});
        by.post(&at(format!("{}/createShareableLinks", self.host), NETWORK), body).await
    }

    /// What stands behind the `#` of a link that is made.
    async fn token(&self, by: &Http, wishes: Value) -> String {
        let made = self.make(by, wishes).await.expect(200).json();
        let bsl = made["value"][0]["bsl"].as_str().unwrap();
        let (address, token) = bsl.split_once('#').unwrap();
        assert_eq!(address, format!("{}/session/link", self.world.server.base()));
        token.to_owned()
    }

    async fn all(&self) -> Vec<Value> {
        let path = at(format!("{}/getShareableLinks", self.host), NETWORK);
        let shown = self.world.page().post(&path, json!({"vms": []})).await.expect(200).json();
        shown["value"].as_array().unwrap().clone()
    }

    async fn take_back(&self, tokens: &[&str]) {
        let path = at(format!("{}/deleteShareableLinksByToken", self.host), NETWORK);
        self.world.page().post(&path, json!({ "tokens": tokens })).await.expect(202);
    }

    async fn inspect(&self, who: &Http, token: &str) -> Answer {
        who.post("/bastions/links/inspect", json!({ "token": token })).await
    }

    async fn begin(&self, who: &Http, token: &str) -> Answer {
        let place = place(&self.world, &self.host).await;
        who.post(&format!("/bastions/{place}/api/sessions"), json!({ "link": token })).await
    }

    async fn see(&self, who: &Http, token: &str, more: Value) -> Answer {
        let place = place(&self.world, &self.host).await;
        let mut body = json!({"link": token, "width": 640, "height": 480});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        who.post(&format!("/bastions/{place}/api/desktops"), body).await
    }
}

/// What a bastion host is called in addresses.
pub(crate) async fn place(world: &World, host: &str) -> String {
    let shown = world.page().get(&at(host, NETWORK)).await.expect(200).json();
    shown["properties"]["dnsName"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned()
}

/// An owner of the group with the host and the machine, who may not log in to it, and their page.
async fn owner(world: &World, page: &Http) -> (String, Http) {
    let (id, _, cookies) = person(world, "jun@contoso.test").await;
    grant(page, &world.rg1(""), OWNER, &id, "User").await;
    (id, world.server.http().page(&cookies))
}

/// Somebody without any right, and their page.
async fn guest(world: &World, name: &str) -> Http {
    let (_, _, cookies) = person(world, name).await;
    world.server.http().page(&cookies)
}

#[tokio::test]
async fn a_link_lends_what_its_maker_may_do_and_only_as_long_as_they_may() {
    let lending = Lending::new().await;
    let world = &lending.world;
    let page = world.page();
    let (jun_id, jun) = owner(world, &page).await;
    // An owner of the host makes no link to what they may not log in to themselves.
    lending.make(&jun, json!({})).await.refused(403, "AuthorizationFailed");
    let role = grant(&page, &world.rg1(""), USER_LOGIN, &jun_id, "User").await;
    lending.make(&jun, json!({"account": "root"})).await.refused(403, "AuthorizationFailed");
    let token = lending.token(&jun, json!({})).await;

    let mei = guest(world, "mei@contoso.test").await;
    let seen = lending.inspect(&mei, &token).await.expect(200).json();
    assert_eq!(
        (&seen["account"], &seen["createdBy"], &seen["machine"]),
        (&json!("jun"), &json!("jun@contoso.test"), &json!(lending.vm))
    );
    // The machine is not there, and nothing else is in the way; what began is no use then.
    lending.begin(&mei, &token).await.refused(409, "MachineNotConnected");
    assert_eq!(lending.all().await[0]["sekisho"]["uses"], 0);
    // Nobody without the link comes in, and a changed one is none.
    let other = token.replacen(|c: char| c.is_ascii_alphanumeric(), "0", 40);
    for bad in [other.as_str(), "x", "", &token[..token.len() - 1]] {
        lending.inspect(&mei, bad).await.refused(410, "LinkNotGood");
        lending.begin(&mei, bad).await.refused(410, "LinkNotGood");
    }
    browser(&world.server).post("/bastions/links/inspect", json!({ "token": token })).await.expect(401);
    world
        .client("root")
        .await
        .post("/bastions/links/inspect", json!({"token": token}))
        .await
        .refused(403, "LinkForPeople");

    page.delete(&at(&role, "2022-04-01")).await.expect(200);
    until("the end of the right", async || {
        let refused = lending.begin(&mei, &token).await;
        (refused.status == 403).then_some(refused)
    })
    .await
    .refused(403, "AuthorizationFailed");
    // What is shown says everything but what makes it good, and so does the log.
    let all = lending.all().await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].get("bsl"), None);
    let secret = token.split_once('.').unwrap().1;
    for file in std::fs::read_dir(world.server.data.path()).unwrap().map(|entry| entry.unwrap().path()) {
        let kept = if file.is_file() { std::fs::read(&file).unwrap() } else { Vec::new() };
        assert!(!kept.windows(secret.len()).any(|w| w == secret.as_bytes()), "{}", file.display());
    }
}

#[tokio::test]
async fn a_link_is_good_until_its_end_for_so_many_sessions_from_its_addresses_and_with_fresh_proof() {
    let lending = Lending::new().await;
    let world = &lending.world;
    let page = world.page();
    grant(&page, &world.rg1(""), ADMIN_LOGIN, world.person(), "User").await;
    let mei = guest(world, "mei@contoso.test").await;
    for (wishes, target) in [
        (json!({"duration": "P31D"}), "duration"),
        (json!({"duration": "PT1S"}), "duration"),
        (json!({"maximumUses": 0}), "maximumUses"),
        (json!({"multiFactorMaxAge": "PT4M"}), "multiFactorMaxAge"),
        (json!({"account": "a b"}), "account"),
        (json!({"allowedSourceAddressPrefixes": ["home"]}), "allowedSourceAddressPrefixes"),
    ] {
        let refused = lending.make(&page, wishes).await.expect(400).json();
        assert_eq!(refused["error"]["target"], format!("vms[0].sekisho.{target}"), "{refused}");
    }
    let elsewhere = json!({"allowedSourceAddressPrefixes": ["192.0.2.0/24", "2001:db8::1"]});
    let elsewhere = lending.token(&page, elsewhere).await;
    lending.inspect(&mei, &elsewhere).await.refused(403, "LinkAddressDenied");
    lending.begin(&mei, &elsewhere).await.refused(403, "LinkAddressDenied");
    let here = json!({"account": "root", "allowedSourceAddressPrefixes": ["127.0.0.0/8"], "maximumUses": 2});
    let here = lending.token(&page, here).await;
    assert_eq!(lending.inspect(&mei, &here).await.expect(200).json()["usesLeft"], 2);

    // Whoever proved two factors long ago proves them again.
    let fresh = lending.token(&page, json!({"account": "root", "multiFactorMaxAge": "PT5M"})).await;
    lending.begin(&mei, &fresh).await.refused(409, "MachineNotConnected");
    world.server.age("session", "at", 600).await;
    assert_eq!(lending.inspect(&mei, &fresh).await.expect(200).json()["needsFreshSignIn"], true);
    lending.begin(&mei, &fresh).await.refused(403, "FreshSignInRequired");
    lending.begin(&mei, &here).await.refused(409, "MachineNotConnected");
    lending.take_back(&[&fresh]).await;
    lending.take_back(&[&here]).await;
    lending.inspect(&mei, &here).await.refused(410, "LinkNotGood");
    lending.begin(&mei, &here).await.refused(410, "LinkNotGood");
    // By its id, too.
    let id = lending.all().await[0]["sekisho"]["id"].as_str().unwrap().to_owned();
    lending.take_back(&[&id]).await;
    assert_eq!(lending.all().await, Vec::<Value>::new());

    // A host that makes no links any more lets nobody in by those that there are.
    let token = lending.token(&page, json!({})).await;
    let body = json!({"location": "home", "properties": {"enableShareableLink": false}});
    page.put(&at(&lending.host, NETWORK), body).await.expect(200);
    lending.begin(&mei, &token).await.refused(403, "BastionShareableLinkDisabled");
    lending.make(&page, json!({})).await.refused(400, "BastionShareableLinkDisabled");
}

#[tokio::test]
async fn a_link_for_a_desktop_lends_that_one_with_the_password_that_is_typed_or_kept_and_nothing_else() {
    let lending = Lending::new().await;
    let world = &lending.world;
    let page = world.page();
    let (jun_id, jun) = owner(world, &page).await;
    grant(&page, &world.rg1(""), USER_LOGIN, &jun_id, "User").await;
    let (rdp, vnc) = (json!({"protocol": "rdp"}), json!({"protocol": "vnc"}));
    // VNC may show anybody's screen, and another's account is another's.
    lending.make(&jun, json!({"desktop": vnc})).await.refused(403, "AuthorizationFailed");
    lending.make(&jun, json!({"desktop": rdp, "account": "root"})).await.refused(403, "AuthorizationFailed");
    for (wishes, target) in [
        (json!({"desktop": vnc, "account": "root"}), "account"),
        (json!({"desktop": {"protocol": "rdp", "port": 0}}), "desktop.port"),
    ] {
        let refused = lending.make(&jun, wishes).await.expect(400).json();
        assert_eq!(refused["error"]["target"], format!("vms[0].sekisho.{target}"), "{refused}");
    }
    lending.make(&jun, json!({"desktop": {"protocol": "ssh"}})).await.expect(400);
    let token = lending.token(&jun, json!({"desktop": rdp, "maximumUses": 1})).await;
    assert_eq!(lending.all().await[0]["sekisho"]["desktop"], rdp);

    let mei = guest(world, "mei@contoso.test").await;
    let seen = lending.inspect(&mei, &token).await.expect(200).json();
    assert_eq!(
        (&seen["desktop"], &seen["account"], &seen["passwordKept"]),
        (&rdp, &json!("jun"), &json!(false))
    );
    lending.begin(&mei, &token).await.refused(400, "LinkForDesktop");
    lending.see(&mei, &token, json!({"account": "root"})).await.refused(400, "InvalidParameter");
    lending.see(&mei, &token, json!({})).await.refused(400, "DesktopCredentialsMissing");
    // The machine is not there, and nothing else is in the way.
    lending.see(&mei, &token, json!({"password": "secret"})).await.refused(409, "MachineNotConnected");
    let keep = at(format!("{}/providers/Sekisho.Bastion/keepCredential", lending.vm), FLEET);
    let kept = json!({"protocol": "rdp", "account": "jun", "password": "secret"});
    page.post(&keep, kept).await.expect(200);
    assert_eq!(lending.inspect(&mei, &token).await.expect(200).json()["passwordKept"], true);
    lending.see(&mei, &token, json!({})).await.refused(409, "MachineNotConnected");
    assert_eq!(lending.all().await[0]["sekisho"]["uses"], 0);

    let terminal = lending.token(&jun, json!({})).await;
    lending.see(&mei, &terminal, json!({"password": "secret"})).await.refused(400, "LinkForTerminal");
    let elsewhere =
        json!({"desktop": rdp, "allowedSourceAddressPrefixes": ["192.0.2.0/24"], "maximumUses": 1});
    let elsewhere = lending.token(&jun, elsewhere).await;
    lending.see(&mei, &elsewhere, json!({})).await.refused(403, "LinkAddressDenied");
    grant(&page, &world.rg1(""), ADMIN_LOGIN, &jun_id, "User").await;
    let screen = lending.token(&jun, json!({"desktop": {"protocol": "vnc", "port": 5901}})).await;
    assert_eq!(lending.inspect(&mei, &screen).await.expect(200).json().get("account"), None);
    lending.see(&mei, &screen, json!({"domain": "x"})).await.refused(400, "InvalidParameter");
    // Some VNC servers ask for no password.
    lending.see(&mei, &screen, json!({})).await.refused(409, "MachineNotConnected");
    lending.take_back(&[&token]).await;
    lending.see(&mei, &token, json!({})).await.refused(410, "LinkNotGood");
}

#[tokio::test]
async fn a_link_is_not_used_up_by_a_session_that_its_host_does_not_begin() {
    let lending = Lending::new().await;
    let world = &lending.world;
    let page = world.page();
    grant(&page, &world.rg1(""), ADMIN_LOGIN, world.person(), "User").await;
    let body = json!({"location": "home", "properties": {"enableShareableLink": true, "sekisho": {"sessionsPerPerson": 1}}});
    page.put(&at(&lending.host, NETWORK), body).await.expect(200);
    let (id, _, cookies) = person(world, "mei@contoso.test").await;
    let mei = world.server.http().page(&cookies);
    // She has as many as one may.
    let now = OffsetDateTime::now_utc();
    let open = Session {
        id: Uuid::new_v4(),
        host: lending.host.clone(),
        machine: lending.vm.clone(),
        protocol: "ssh".to_owned(),
        account: Some("mei".to_owned()),
        recording: Recording::Off,
        port: 22,
        caller: CallerRef { object_id: id, kind: PrincipalKind::User, name: "mei@contoso.test".to_owned() },
        address: "192.0.2.1".to_owned(),
        since: now,
        seen: now,
        terminal: true,
        ended_by: None,
    };
    let store = Store::open(&world.server.data.url()).await.unwrap();
    let begun = store
        .write::<_, StoreError, _>(move |tx| Box::pin(async move { session::begin(tx, &open, None).await }));
    assert!(begun.await.unwrap());
    let token = lending.token(&page, json!({"account": "root", "maximumUses": 1})).await;
    lending.begin(&mei, &token).await.refused(429, "TooManySessions");
    assert_eq!(lending.all().await[0]["sekisho"]["uses"], 0);
}
