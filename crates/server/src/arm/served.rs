//! What the ARM surface serves beside the types of the registry, for the OpenAPI document.

use sekisho_arm::operation::OperationStatus;

use crate::resources::{core, tag_names, tags};
use crate::routes::{Anything, List, Operation};

/// What is served beside the types of the registry.
pub fn operations() -> Vec<Operation> {
    let mut all = vec![
        Operation::get("/tenants", "The tenant").versioned().answers::<List<core::Tenant>>(200),
        Operation::get("/providers", "All providers").versioned().answers::<List<core::Provider>>(200),
        Operation::get("/providers/{namespace}", "A provider").versioned().answers::<core::Provider>(200),
        Operation::get("/providers/{namespace}/operations", "What a provider lets callers do")
            .versioned()
            .answers::<List<core::Operation>>(200),
    ];
    let in_subscription = [
        Operation::get("/subscriptions/{subscriptionId}/providers", "All providers")
            .answers::<List<core::Provider>>(200),
        Operation::get("/subscriptions/{subscriptionId}/providers/{namespace}", "A provider")
            .answers::<core::Provider>(200),
        Operation::post("/subscriptions/{subscriptionId}/providers/{namespace}/register", "Registers a provider, as all are")
            .answers::<core::Provider>(200),
        Operation::post("/subscriptions/{subscriptionId}/providers/{namespace}/unregister", "Answers as register does")
            .answers::<core::Provider>(200),
        Operation::get("/subscriptions/{subscriptionId}/locations", "Where things are")
            .answers::<List<core::Location>>(200),
        Operation::get("/subscriptions/{subscriptionId}/tagNames", "Tags and their values")
            .answers::<List<tag_names::TagName>>(200),
        Operation::put("/subscriptions/{subscriptionId}/tagNames/{tagName}", "Makes a tag known")
            .answers::<tag_names::TagName>(200)
            .answers::<tag_names::TagName>(201),
        Operation::delete("/subscriptions/{subscriptionId}/tagNames/{tagName}", "Forgets a tag").ends(200).ends(204),
        Operation::put(
            "/subscriptions/{subscriptionId}/tagNames/{tagName}/tagValues/{tagValue}",
            "Makes a value of a tag known",
        )
        .answers::<tag_names::TagValue>(200)
        .answers::<tag_names::TagValue>(201),
        Operation::delete(
            "/subscriptions/{subscriptionId}/tagNames/{tagName}/tagValues/{tagValue}",
            "Forgets a value of a tag",
        )
        .ends(200)
        .ends(204),
        Operation::post(
            "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/moveResources",
            "Refused: resources stay where they are",
        )
        .takes::<Anything>()
        .ends(409),
        Operation::get("/subscriptions/{subscriptionId}/resources", "All resources")
            .query("$filter")
            .query("$expand")
            .query("$top")
            .query("$skipToken")
            .query("$orderby")
            .query("$select")
            .answers::<List<core::SelectedRow>>(200),
        Operation::get("/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/resources", "The resources of a group")
            .query("$filter")
            .query("$expand")
            .query("$top")
            .query("$skipToken")
            .query("$orderby")
            .query("$select")
            .answers::<List<core::SelectedRow>>(200),
        Operation::get(
            "/subscriptions/{subscriptionId}/providers/{namespace}/locations/{location}/operations/{operationId}",
            "How a long-running operation is doing",
        )
        .answers::<OperationStatus>(200),
        Operation::get(
            "/subscriptions/{subscriptionId}/providers/{namespace}/locations/{location}/operationResults/{operationId}",
            "The result of a long-running operation",
        )
        .answers::<Anything>(200)
        .ends(202)
        .ends(204),
        Operation::get("/subscriptions/{subscriptionId}/operationresults/{operationId}", "The same")
            .answers::<Anything>(200)
            .ends(202)
            .ends(204),
    ];
    all.extend(in_subscription.into_iter().map(Operation::versioned));
    for path in [
        "/subscriptions/{subscriptionId}/providers/Microsoft.Resources/tags/default",
        "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Resources/tags/default",
        "/{resourceId}/providers/Microsoft.Resources/tags/default",
    ] {
        let change = |o: Operation| {
            o.versioned().query("whatIf").takes::<tags::TagsChange>().answers::<tags::ScopeTags>(200)
        };
        all.push(Operation::get(path, "The tags of a scope").versioned().answers::<tags::ScopeTags>(200));
        all.push(change(Operation::put(path, "Replaces the tags of a scope")));
        all.push(change(Operation::patch(path, "Changes the tags of a scope")));
        let remove = Operation::delete(path, "Removes the tags of a scope").versioned().query("whatIf");
        all.push(remove.answers::<tags::ScopeTags>(200));
    }
    all
}
