//! Tags at every scope, the names a subscription knows, and lists by tag.

use serde_json::{Value, json};

use crate::kit::{GROUPS, Http, NETWORK, at};
use crate::seed::{READER, World, grant, sign_in};

fn tags_of(scope: &str) -> String {
    at(format!("{scope}/providers/Microsoft.Resources/tags/default"), GROUPS)
}

async fn patch(client: &Http, scope: &str, operation: &str, tags: Value) -> Value {
    let body = json!({"operation": operation, "properties": {"tags": tags}});
    client.patch(&tags_of(scope), body).await.expect(200).json()["properties"]["tags"].clone()
}

#[tokio::test]
async fn tags_are_put_merged_replaced_and_removed_at_every_scope_that_has_tags() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    for scope in [world.server.sub.clone(), world.rg1(""), nsg.clone()] {
        let put =
            root.put(&tags_of(&scope), json!({"properties": {"tags": {"Env": "prod", "b": "1"}}})).await;
        let shown = put.expect(200).json();
        assert_eq!(shown["id"], format!("{scope}/providers/Microsoft.Resources/tags/default"));
        assert_eq!(shown["properties"]["tags"], json!({"Env": "prod", "b": "1"}));
        // The name is the same in any case, the value is not.
        assert_eq!(
            patch(&root, &scope, "Merge", json!({"env": "test"})).await,
            json!({"b": "1", "env": "test"})
        );
        assert_eq!(
            patch(&root, &scope, "Delete", json!({"ENV": "Test"})).await,
            json!({"b": "1", "env": "test"})
        );
        assert_eq!(patch(&root, &scope, "Delete", json!({"ENV": "test"})).await, json!({"b": "1"}));
        assert_eq!(patch(&root, &scope, "Replace", json!({"c": "d"})).await, json!({"c": "d"}));
        let version = if scope == nsg { NETWORK } else { GROUPS };
        assert_eq!(root.get(&at(&scope, version)).await.json()["tags"], json!({"c": "d"}));
        root.delete(&tags_of(&scope)).await.expect(200);
        assert_eq!(root.get(&tags_of(&scope)).await.json()["properties"]["tags"], json!({}));
    }
    for scope in [
        format!("{nsg}/securityRules/ssh"),
        "/providers/Microsoft.Management/managementGroups/mg1".to_owned(),
    ] {
        let body = json!({"properties": {"tags": {"a": "b"}}});
        root.put(&tags_of(&scope), body).await.refused(400, "TagsNotSupported");
    }
}

#[tokio::test]
async fn a_subscription_knows_the_names_put_there_and_those_in_use() {
    let world = World::new().await;
    let root = world.client("root").await;
    let sub = world.server.sub.clone();
    let path = |rest: &str| at(format!("{sub}/tagNames{rest}"), GROUPS);
    let put = async |rest: &str| root.raw(http::Method::PUT, &path(rest), Vec::new().into()).await;
    put("/Cost/tagValues/low").await.refused(404, "TagNameNotFound");
    let made = put("/Cost").await.expect(201).json();
    assert_eq!(
        (&made["tagName"], &made["count"]["value"], &made["values"]),
        (&json!("Cost"), &json!(0), &json!([]))
    );
    put("/cost").await.expect(200);
    assert_eq!(put("/COST/tagValues/Low").await.expect(201).json()["tagValue"], "Low");
    root.put(&tags_of(&world.rg1("")), json!({"properties": {"tags": {"cost": "High"}}})).await.expect(200);
    let listed = async |client: &Http| {
        let all = client.get(&path("")).await.expect(200).json()["value"].as_array().unwrap().clone();
        all.into_iter().find(|t| t["tagName"].as_str().unwrap().eq_ignore_ascii_case("cost"))
    };
    let cost = listed(&root).await.unwrap();
    let values: Vec<(&Value, &Value)> =
        cost["values"].as_array().unwrap().iter().map(|v| (&v["tagValue"], &v["count"]["value"])).collect();
    assert_eq!(values, [(&json!("High"), &json!(1)), (&json!("Low"), &json!(0))]);
    // Tags of what somebody may not read are not told, nor is what was put there.
    let elsewhere = world.client("elsewhere").await;
    assert_eq!(listed(&elsewhere).await, None);
    elsewhere
        .raw(http::Method::PUT, &path("/x"), Vec::new().into())
        .await
        .refused(403, "AuthorizationFailed");

    root.delete(&path("/cost")).await.refused(409, "TagInUse");
    root.delete(&path("/cost/tagValues/High")).await.refused(409, "TagInUse");
    root.delete(&path("/cost/tagValues/Low")).await.expect(200);
    root.delete(&path("/cost/tagValues/Low")).await.expect(204);
    root.delete(&tags_of(&world.rg1(""))).await.expect(200);
    root.delete(&path("/cost")).await.expect(200);
    root.delete(&path("/cost")).await.expect(204);
    assert_eq!(listed(&root).await, None);
    put(&format!("/{}", "x".repeat(513))).await.refused(400, "InvalidRequestUri");
}

#[tokio::test]
async fn resources_are_listed_by_tag_type_and_name_and_a_page_at_a_time() {
    let world = World::new().await;
    let root = world.client("root").await;
    for (name, tags) in
        [("a", json!({"env": "prod", "team": "x"})), ("b", json!({"env": "test"})), ("c", json!({}))]
    {
        let id = at(world.network(&format!("applicationSecurityGroups/{name}")), NETWORK);
        root.put(&id, json!({"location": "home", "tags": tags})).await.expect(201);
    }
    let list = async |scope: &str, query: &str| {
        let body = root
            .get(&format!("{}{query}", at(format!("{scope}/resources"), GROUPS)))
            .await
            .expect(200)
            .json();
        let names: Vec<String> = body["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["name"].as_str().unwrap().to_owned())
            .collect();
        (names, body)
    };
    let sub = world.server.sub.clone();
    for (filter, expected) in [
        ("tagname eq 'env'", vec!["a", "b"]),
        ("tagName eq 'ENV' and tagValue eq 'prod'", vec!["a"]),
        ("tagname eq 'team' and tagvalue eq 'prod'", vec![]),
        ("startswith(tagname, 'te')", vec!["a"]),
        ("resourceType eq 'microsoft.network/applicationsecuritygroups' and name eq 'C'", vec!["c"]),
        (
            "resourceGroup eq 'rg1' and substringof('security', resourceType) and tagName eq 'env'",
            vec!["a", "b"],
        ),
        ("resourceGroup eq 'rg2'", vec![]),
    ] {
        let filter = filter.replace(' ', "%20").replace('\'', "%27");
        assert_eq!(list(&sub, &format!("&$filter={filter}")).await.0, expected, "{filter}");
    }
    let (first, body) = list(&world.rg1(""), "&$top=2&$filter=tagname%20ne%20null&$expand=createdTime").await;
    assert_eq!(first, ["a", "b"]);
    assert!(body["value"][0]["createdTime"].is_string() && body["value"][0].get("changedTime").is_none());
    let all = list(&sub, "").await.0;
    let mut paged = Vec::new();
    let mut next = Some(format!("{}&$top=2", at(format!("{sub}/resources"), GROUPS)));
    while let Some(path) = next {
        let page = root.get(&path).await.expect(200).json();
        let names = page["value"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned());
        paged.extend(names);
        next = page["nextLink"].as_str().map(|l| l.trim_start_matches(&world.server.base()).to_owned());
    }
    assert_eq!(paged, all);
    root.get(&format!("{}&$top=0", at(format!("{sub}/resources"), GROUPS)))
        .await
        .refused(400, "InvalidParameter");
    let filter = format!("{}&$filter=name%20eq", at(format!("{sub}/resources"), GROUPS));
    root.get(&filter).await.refused(400, "InvalidFilterInQueryString");
    let body = json!({"resources": [], "targetResourceGroup": sub});
    root.post(&at(world.rg1("/moveResources"), GROUPS), body).await.refused(409, "MoveNotSupported");
}

#[tokio::test]
async fn the_right_to_tag_is_no_right_to_change() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (stranger, nsg) = (world.program("stranger"), world.network("networkSecurityGroups/nsg1"));
    let tagger = "4a9ae827-6dc8-4573-8ac7-8239d42aa03f";
    grant(&root, &world.rg1(""), tagger, &stranger.object_id, "ServicePrincipal").await;
    grant(&root, &world.rg1(""), READER, &stranger.object_id, "ServicePrincipal").await;
    let client = sign_in(&world.server, stranger).await;
    client.put(&tags_of(&nsg), json!({"properties": {"tags": {"a": "b"}}})).await.expect(200);
    client.put(&at(&nsg, NETWORK), json!({"location": "home"})).await.refused(403, "AuthorizationFailed");
    client.delete(&at(&nsg, NETWORK)).await.refused(403, "AuthorizationFailed");
}
