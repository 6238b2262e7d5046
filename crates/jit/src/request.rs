//! A request for access and what it gives, ports and [`Raised`] users, as a state machine: what is open, what can still
//! happen, and what is over for ever.

use std::collections::BTreeMap;

use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::elevation::{Gives, Raised, UnixName};
use crate::extension::Extension;
use crate::resources::{
    Protocol, ShownElevation, ShownExtras, ShownMachine, ShownMachineExtras, ShownPort, ShownRequest,
    ShownUsage,
};
use crate::sources::Sources;
use crate::usage::Used;

/// How far one port of a request is, or what else it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitRequestState")]
pub enum State {
    /// It was asked for, and nothing was decided yet.
    Requested,
    /// Somebody must say yes.
    Pending,
    /// The machine is to open it.
    Approved,
    /// The machine has opened it.
    Active,
    /// Its time is over, or the time to decide on it; or nobody used it.
    Expired,
    /// Somebody ended it.
    Revoked,
    /// The same person asked for the same again.
    Superseded,
    /// Somebody said no.
    Denied,
    /// Whoever asked thought better of it.
    Cancelled,
    /// The machine does not give it.
    Refused,
}

/// What happens to a port of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitRequestEvent")]
pub enum Event {
    /// It must be decided on.
    Wait,
    /// Enough people said yes, or none needed to.
    Approve,
    /// The machine says that it is in force.
    Apply,
    /// More time is asked for, to which somebody must say yes.
    AskExtension,
    /// Somebody says no to more time.
    DenyExtension,
    /// Nobody said yes to more time while it was of use, or it is taken back.
    DropExtension,
    /// It is given more time.
    Extend,
    /// Time is over.
    Expire,
    /// Nobody used it for as long as the policy says.
    Idle,
    /// Somebody ends it.
    Revoke,
    /// A newer request takes its place.
    Supersede,
    /// Somebody says no.
    Deny,
    /// It is taken back.
    Cancel,
    /// The machine says that it does not give it.
    Refuse,
}

/// Something that cannot happen in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to what is {state:?}")]
pub struct Impossible {
    /// The state.
    pub state: State,
    /// The event.
    pub event: Event,
}

impl State {
    /// The state after an event.
    ///
    /// # Errors
    /// [`Impossible`]; nothing is changed then.
    pub fn after(self, event: Event) -> Result<State, Impossible> {
        use Event::{
            Apply, Approve, AskExtension, Cancel, Deny, DenyExtension, DropExtension, Expire, Extend, Idle,
            Refuse, Revoke, Supersede, Wait,
        };
        use State::{
            Active, Approved, Cancelled, Denied, Expired, Pending, Refused, Requested, Revoked, Superseded,
        };
        Ok(match (self, event) {
            (Requested, Wait) => Pending,
            (Requested | Pending, Approve) => Approved,
            (Pending, Deny) => Denied,
            (Pending, Cancel) => Cancelled,
            (Approved | Active, Apply) => Active,
            // The machine has still to hear of the new end.
            (Approved | Active, Extend) => Approved,
            (Approved | Active, AskExtension | DenyExtension | DropExtension) => self,
            (Pending | Approved | Active, Expire) => Expired,
            (Approved | Active, Idle) => Expired,
            (Approved | Active, Revoke) => Revoked,
            (Approved | Active, Supersede) => Superseded,
            (Approved | Active, Refuse) => Refused,
            (state, event) => return Err(Impossible { state, event }),
        })
    }

    /// Whether the port is open, or is to be.
    pub fn is_open(self) -> bool {
        matches!(self, State::Approved | State::Active)
    }

    /// Whether nothing can happen any more.
    pub fn is_over(self) -> bool {
        !matches!(self, State::Requested | State::Pending) && !self.is_open()
    }

    /// Azure's status and reason.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            State::Requested | State::Pending => ("Pending", "UserRequested"),
            State::Approved | State::Active => ("Initiated", "UserRequested"),
            State::Expired => ("Revoked", "Expired"),
            State::Superseded => ("Revoked", "NewerRequestInitiated"),
            State::Revoked | State::Denied | State::Cancelled | State::Refused => {
                ("Revoked", "UserRequested")
            }
        }
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitActor")]
pub struct Actor {
    /// The object id.
    pub id: String,
    /// The name that people know it by.
    pub name: String,
}

/// What somebody decided on a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitReview")]
pub struct Review {
    /// Who.
    pub by: Actor,
    /// Whether it was a yes.
    pub approved: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// When, RFC 3339.
    pub at: String,
}

/// Something that happened to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitMoment")]
pub struct Moment {
    /// What.
    pub event: Event,
    /// When, RFC 3339.
    pub at: String,
    /// By whom; absent when by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
}

/// How a request is decided on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deciding {
    /// How many must say yes.
    pub required: usize,
    /// The group that they are in.
    pub group: Option<Uuid>,
    /// Until when.
    #[serde(with = "time::serde::rfc3339")]
    pub before: OffsetDateTime,
}

/// What a grant gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum What {
    /// A port is open.
    Port(OpenPort),
    /// A user is more than before.
    Raised(Raised),
    /// Somebody may log in through a bastion. The server sees to it; machines are told nothing.
    Login(Login),
}

/// As whom somebody may log in through a bastion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// The account on the machine.
    pub login: UnixName,
}

/// A port that is open to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenPort {
    /// The port.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// From where.
    pub sources: Sources,
}

impl What {
    /// The port.
    pub fn port(&self) -> Option<&OpenPort> {
        match self {
            What::Port(port) => Some(port),
            What::Raised(_) | What::Login(_) => None,
        }
    }

    /// The user.
    pub fn raised(&self) -> Option<&Raised> {
        match self {
            What::Port(_) | What::Login(_) => None,
            What::Raised(raised) => Some(raised),
        }
    }

    /// Whether another one takes the place of this one: it opens the same port from the same addresses, gives the same user
    /// `sudo`, or the account, or lets the same one log in.
    fn is_like(&self, other: &What) -> bool {
        match (self, other) {
            (What::Port(own), What::Port(other)) => own == other,
            (What::Login(own), What::Login(other)) => own == other,
            (What::Raised(own), What::Raised(other)) => {
                let is_account = |raised: &Raised| raised.gives == Gives::Account;
                own.user == other.user && is_account(own) == is_account(other)
            }
            _ => false,
        }
    }
}

/// One port of one machine that a request is about, or one thing that it gives a user of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Its number among all grants, never 0: the mark of its connections.
    pub mark: u32,
    /// The machine's id.
    pub machine: String,
    /// What it gives.
    #[serde(flatten)]
    pub what: What,
    /// When it was opened; absent until then, and in what a version before it wrote.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub begin: Option<OffsetDateTime>,
    /// When it ends. Until it is approved, what was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub end: OffsetDateTime,
    /// How long it was asked for, in seconds, when not until an instant: it then counts from the approval.
    pub seconds: Option<i64>,
    /// How far it is.
    pub state: State,
    /// Why the machine does not give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Grant {
    /// When it closes, in milliseconds since 1970, as machines are told.
    pub fn end_ms(&self) -> i64 {
        i64::try_from(self.end.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }

    /// Whether another one takes its place on its machine.
    pub fn is_like(&self, other: &Grant) -> bool {
        self.machine.eq_ignore_ascii_case(&other.machine) && self.what.is_like(&other.what)
    }
}

/// A request, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Its name; they sort by when they were made.
    pub id: Uuid,
    /// The policy's id.
    pub policy: String,
    /// Who asked.
    pub requestor: Actor,
    /// Why.
    pub justification: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub start: OffsetDateTime,
    /// How it is decided on; `None` when it needs no decision.
    pub deciding: Option<Deciding>,
    /// What was decided so far.
    pub reviews: Vec<Review>,
    /// More time that waits for a yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<Extension>,
    /// What it opens.
    pub grants: Vec<Grant>,
    /// What happened, oldest first.
    pub history: Vec<Moment>,
}

impl Request {
    /// Whether nothing can happen to it any more.
    pub fn is_over(&self) -> bool {
        self.grants.iter().all(|g| g.state.is_over())
    }

    /// Whether somebody must decide on it.
    pub fn is_pending(&self) -> bool {
        self.grants.iter().any(|g| g.state == State::Pending)
    }

    /// Lets something happen to the grants that `which` names, at an instant. An approved one begins to count.
    ///
    /// # Errors
    /// [`Impossible`] when it can happen to none of them; nothing is changed then.
    pub fn happen(
        &mut self,
        event: Event,
        at: OffsetDateTime,
        by: Option<Actor>,
        which: impl Fn(&Grant) -> bool,
    ) -> Result<(), Impossible> {
        let (mut done, mut refused) = (false, None);
        for grant in self.grants.iter_mut().filter(|g| which(g)) {
            match grant.state.after(event) {
                Ok(next) => {
                    grant.state = next;
                    done = true;
                    if event == Event::Approve {
                        grant.begin = Some(at);
                        grant.end = grant.seconds.map_or(grant.end, |s| at + Duration::seconds(s));
                    }
                    // What is ended by somebody ended then, and not when it would have.
                    if next.is_over() && grant.end > at {
                        grant.end = at;
                    }
                }
                Err(why) => refused = Some(why),
            }
        }
        match (done, refused) {
            (false, Some(why)) => return Err(why),
            (false, None) => {}
            // That a machine opened it is told by its state; each machine would be a line otherwise.
            (true, _) if event == Event::Apply => {}
            (true, _) => self.history.push(Moment { event, at: instant(at), by }),
        }
        // What is not open any more is given no more time.
        if !self.grants.iter().any(|g| g.state.is_open()) {
            self.extension = None;
        }
        Ok(())
    }

    /// Notes what somebody says: of the request while it waits, else of the time that was asked for. With enough yeses, or
    /// one no, it is decided.
    ///
    /// # Errors
    /// [`Impossible`] when it waits for nobody.
    pub fn review(&mut self, review: Review, at: OffsetDateTime) -> Result<(), Impossible> {
        if !self.is_pending()
            && let Some(extension) = self.extension.take()
        {
            return self.review_more(extension, review, at);
        }
        let Some(deciding) = self.deciding.as_ref().filter(|_| self.is_pending()) else {
            let state = self.grants.first().map_or(State::Requested, |g| g.state);
            return Err(Impossible { state, event: Event::Approve });
        };
        let (required, by, approved) = (deciding.required, review.by.clone(), review.approved);
        self.reviews.retain(|r| r.by.id != review.by.id);
        self.reviews.push(review);
        let yes = self.reviews.iter().filter(|r| r.approved).count();
        match approved {
            false => self.happen(Event::Deny, at, Some(by), |_| true),
            true if yes >= required => self.happen(Event::Approve, at, Some(by), |_| true),
            true => Ok(()),
        }
    }

    /// Ends what is over by the clock; whether anything was.
    pub fn tick(&mut self, at: OffsetDateTime) -> bool {
        let undecided = self.deciding.as_ref().is_some_and(|d| d.before <= at);
        let over = |g: &Grant| match g.state {
            State::Pending => undecided || (g.seconds.is_none() && g.end <= at),
            state => state.is_open() && g.end <= at,
        };
        let any = self.grants.iter().any(over);
        // All of them can: each is pending or open.
        let expired = any && self.happen(Event::Expire, at, None, over).is_ok();
        let lapsed = self.extension.as_ref().is_some_and(|e| e.until() <= at);
        (lapsed && self.drop_more(Event::DropExtension, at, None).is_ok()) || expired
    }

    /// When the clock changes it next.
    pub fn next(&self) -> Option<OffsetDateTime> {
        let before = self.deciding.as_ref().map(|d| d.before);
        let of = |g: &Grant| match g.state {
            State::Pending if g.seconds.is_none() => before.map(|b| b.min(g.end)),
            State::Pending => before,
            state => state.is_open().then_some(g.end),
        };
        let extension = self.extension.as_ref().map(Extension::until);
        self.grants.iter().filter_map(of).chain(extension).min()
    }

    /// As it is shown in `properties.requests`, before anything is known of its use.
    pub fn shown(&self) -> ShownRequest {
        self.shown_with(&BTreeMap::new())
    }

    /// As it is shown in `properties.requests`, with what its grants carried, by their numbers.
    pub fn shown_with(&self, used: &BTreeMap<u32, Used>) -> ShownRequest {
        let mut machines: Vec<ShownMachine> = Vec::new();
        for grant in &self.grants {
            let (status, status_reason) = grant.state.words();
            let counted = grant.state != State::Pending || grant.seconds.is_none();
            let end_time_utc = counted.then(|| instant(grant.end));
            let known = machines.iter().position(|m| m.id == grant.machine);
            let at = known.unwrap_or_else(|| {
                machines.push(ShownMachine { id: grant.machine.clone(), ports: Vec::new(), sekisho: None });
                machines.len() - 1
            });
            match &grant.what {
                What::Port(port) => {
                    let mut words = port.sources.words();
                    let one = if words.len() == 1 { words.pop() } else { None };
                    machines[at].ports.push(ShownPort {
                        number: port.number,
                        allowed_source_address_prefix: one,
                        allowed_source_address_prefixes: Some(words).filter(|w| !w.is_empty()),
                        end_time_utc,
                        status,
                        status_reason,
                        state: grant.state,
                        usage: used.get(&grant.mark).map(ShownUsage::from),
                    });
                }
                what @ (What::Raised(_) | What::Login(_)) => {
                    let extras = machines[at].sekisho.get_or_insert_with(ShownMachineExtras::default);
                    extras.elevations.extend(shown_raised(
                        what,
                        grant,
                        (status, status_reason),
                        end_time_utc,
                    ));
                }
            }
        }
        ShownRequest {
            virtual_machines: machines,
            start_time_utc: instant(self.start),
            requestor: self.requestor.name.clone(),
            justification: self.justification.clone(),
            sekisho: ShownExtras {
                id: self.id.to_string(),
                requestor_id: self.requestor.id.clone(),
                ticket_number: self.ticket.clone(),
                approvals_required: self.deciding.as_ref().map(|d| d.required),
                decide_before_utc: self
                    .deciding
                    .as_ref()
                    .filter(|_| self.is_pending())
                    .map(|d| instant(d.before)),
                reviews: self.reviews.clone(),
                extension: self.extension.as_ref().map(Extension::shown),
                history: self.history.clone(),
            },
        }
    }
}

fn shown_raised(
    what: &What,
    grant: &Grant,
    (status, status_reason): (&'static str, &'static str),
    end_time_utc: Option<String>,
) -> Option<ShownElevation> {
    let (kind, user, sudo) = match what {
        What::Port(_) => return None,
        What::Login(login) => ("login", &login.login, None),
        What::Raised(Raised { user, gives: Gives::Account }) => ("account", user, None),
        What::Raised(Raised { user, gives: Gives::Sudo(sudo) }) => ("sudo", user, Some(sudo)),
    };
    Some(ShownElevation {
        kind,
        user: user.clone(),
        run_as: sudo.map(|s| s.run_as.clone()),
        commands: sudo.and_then(|s| s.commands.clone()),
        end_time_utc,
        status,
        status_reason,
        state: grant.state,
        problem: grant.problem.clone(),
    })
}

/// The addresses of a family that a grant opens for.
pub fn of_family(sources: &Sources, v4: bool) -> impl Iterator<Item = &IpNet> {
    sources.prefixes().iter().filter(move |net| net.addr().is_ipv4() == v4)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-26 12:00 UTC);
    const EVENTS: [Event; 14] = [
        Event::Wait,
        Event::Approve,
        Event::Apply,
        Event::AskExtension,
        Event::DenyExtension,
        Event::DropExtension,
        Event::Extend,
        Event::Expire,
        Event::Idle,
        Event::Revoke,
        Event::Supersede,
        Event::Deny,
        Event::Cancel,
        Event::Refuse,
    ];

    pub(crate) fn actor(name: &str) -> Actor {
        Actor { id: format!("id-{name}"), name: name.to_owned() }
    }

    fn grant(state: State, minutes: i64) -> Grant {
        Grant {
            mark: 1,
            machine: "vm1".to_owned(),
            what: What::Port(OpenPort {
                number: 22,
                protocol: Protocol::Tcp,
                sources: Sources::parse(["192.0.2.1"]).unwrap(),
            }),
            begin: None,
            end: NOW + Duration::minutes(minutes),
            seconds: None,
            state,
            problem: None,
        }
    }

    pub(crate) fn request(required: usize) -> Request {
        Request {
            id: Uuid::nil(),
            policy: "policy".to_owned(),
            requestor: actor("jun"),
            justification: None,
            ticket: None,
            start: NOW,
            deciding: Some(Deciding { required, group: None, before: NOW + Duration::hours(1) }),
            reviews: Vec::new(),
            extension: None,
            grants: vec![grant(State::Pending, 90)],
            history: Vec::new(),
        }
    }

    fn says(request: &mut Request, name: &str, approved: bool) -> Result<(), Impossible> {
        let review = Review { by: actor(name), approved, justification: None, at: instant(NOW) };
        request.review(review, NOW)
    }

    proptest! {
        #[test]
        fn nothing_opens_before_a_yes_and_what_is_over_stays_over_whatever_happens(
            events in prop::collection::vec(prop::sample::select(EVENTS.to_vec()), 0..24),
        ) {
            let (mut state, mut approved, mut over) = (State::Requested, false, false);
            for event in events {
                let Ok(next) = state.after(event) else { continue };
                prop_assert!(!over, "{state:?} was over and became {next:?}");
                approved |= event == Event::Approve;
                prop_assert!(!next.is_open() || approved, "{next:?} without a yes");
                prop_assert!(!next.is_open() || next.after(Event::Expire).is_ok_and(State::is_over));
                prop_assert!(!next.is_open() || next.after(Event::Revoke).is_ok_and(State::is_over));
                over = next.is_over();
                state = next;
            }
        }

        #[test]
        fn the_clock_leaves_nothing_open_whose_time_is_over(
            ends in prop::collection::vec((-120_i64..120, prop::bool::ANY), 1..6), later in 0_i64..240,
        ) {
            let mut request = request(1);
            request.grants = ends
                .iter()
                .map(|(m, open)| grant(if *open { State::Active } else { State::Pending }, *m))
                .collect();
            let next = request.next();
            let at = NOW + Duration::minutes(later);
            let changed = request.tick(at);
            prop_assert_eq!(changed, next.is_some_and(|n| n <= at));
            prop_assert!(request.grants.iter().all(|g| !g.state.is_open() || g.end > at));
            prop_assert!(request.next().is_none_or(|n| n > at));
            prop_assert!(!request.tick(at), "a second look finds nothing");
        }
    }

    #[test]
    fn as_many_different_people_as_needed_say_yes_and_one_no_is_enough() {
        let mut two = request(2);
        says(&mut two, "ken", true).unwrap();
        says(&mut two, "ken", true).unwrap();
        assert!(two.is_pending());
        says(&mut two, "mei", true).unwrap();
        assert_eq!(two.grants[0].state, State::Approved);
        assert!(says(&mut two, "ann", false).is_err(), "what is decided is not decided again");
        let mut no = request(2);
        says(&mut no, "ken", true).unwrap();
        says(&mut no, "ken", false).unwrap();
        assert_eq!((no.grants[0].state, no.is_over()), (State::Denied, true));
    }

    #[test]
    fn a_duration_counts_from_the_yes_and_an_instant_does_not_move() {
        let mut request = request(1);
        request.grants[0].seconds = Some(600);
        request.grants.push(grant(State::Pending, 30));
        let at = NOW + Duration::minutes(20);
        request
            .review(Review { by: actor("ken"), approved: true, justification: None, at: String::new() }, at)
            .unwrap();
        assert_eq!(request.grants[0].end, at + Duration::minutes(10));
        assert_eq!(request.grants[1].end, NOW + Duration::minutes(30));
        assert_eq!(request.next(), Some(NOW + Duration::minutes(30)));
    }

    #[test]
    fn what_somebody_ends_ended_then_and_the_words_are_azures() {
        let mut request = request(1);
        says(&mut request, "ken", true).unwrap();
        request.happen(Event::Revoke, NOW + Duration::minutes(5), Some(actor("ken")), |_| true).unwrap();
        let shown = serde_json::to_value(request.shown()).unwrap();
        let port = &shown["virtualMachines"][0]["ports"][0];
        assert_eq!((&port["status"], &port["statusReason"]), (&"Revoked".into(), &"UserRequested".into()));
        assert_eq!(port["endTimeUtc"], "2026-11-26T12:05:00Z");
        assert_eq!(port["allowedSourceAddressPrefix"], "192.0.2.1");
        assert_eq!(State::Superseded.words(), ("Revoked", "NewerRequestInitiated"));
        assert_eq!(State::Expired.words(), ("Revoked", "Expired"));
    }

    #[test]
    fn what_a_version_before_it_kept_is_still_a_port_and_what_raises_a_user_reads_back() {
        let sources = serde_json::to_value(Sources::parse(["192.0.2.1"]).unwrap()).unwrap();
        let before = serde_json::json!({"mark": 1, "machine": "vm1", "number": 22, "protocol": "TCP",
            "sources": sources, "end": "2026-11-26T13:30:00Z", "seconds": null, "state": "active"});
        let read: Grant = serde_json::from_str(&before.to_string()).unwrap();
        assert_eq!(read, grant(State::Active, 90));
        let user = "jun".parse().unwrap();
        let raised = Grant { what: What::Raised(Raised { user, gives: Gives::Account }), ..read.clone() };
        let text = serde_json::to_string(&raised).unwrap();
        assert_eq!(serde_json::from_str::<Grant>(&text).unwrap(), raised);
        assert!(!raised.is_like(&read) && raised.is_like(&raised));
        let mut request = request(1);
        request.grants = vec![read, raised];
        let shown = serde_json::to_value(request.shown()).unwrap();
        let machine = &shown["virtualMachines"][0];
        assert_eq!(machine["ports"].as_array().unwrap().len(), 1);
        let elevation = &machine["sekisho"]["elevations"][0];
        assert_eq!((&elevation["kind"], &elevation["user"]), (&"account".into(), &"jun".into()));
    }
}
