//! The OpenAPI document of everything the server answers: the ARM types from the registry, every other route from the
//! list that the router is made of.
//!
//! What clients send and what they are answered are different schemas of one type: in an answer a field with a default
//! is always there, and what is left out is never null. A schema that differs is called `{Name}Input` for requests.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use sekisho_arm::registry::{ActionStyle, PutStyle, Registry, ScopeKind, Storage};
use sekisho_arm::{ErrorResponse, ResourceType, TypeSpec};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::desired::WhatIf;
use crate::http as web;
use crate::routes::{Asker, Operation};

/// `GET /openapi.json`.
pub async fn document(State(app): State<Arc<App>>) -> Response {
    web::json(StatusCode::OK, &describe(&app.registry, &web::routes().operations))
}

/// Where schemas of requests point to until it is known which of them are those of answers, too.
const REQUESTS: &str = "#/components/requests/";
const SCHEMAS: &str = "#/components/schemas/";

/// The document.
pub fn describe(registry: &Registry, operations: &[Operation]) -> Value {
    let mut writer = Writer {
        paths: Map::new(),
        bodies: Map::new(),
        answers: SchemaSettings::draft2020_12()
            .for_serialize()
            .with(|s| s.definitions_path = "/components/schemas".into())
            .into_generator(),
        requests: SchemaSettings::draft2020_12()
            .with(|s| s.definitions_path = "/components/requests".into())
            .into_generator(),
    };
    for operation in operations {
        writer.operation(operation);
    }
    for kind in registry.types() {
        writer.resources(kind.as_ref());
    }
    for action in registry.scope_actions() {
        writer.scope_action(action.as_ref());
    }
    writer.finish()
}

struct Writer {
    paths: Map<String, Value>,
    bodies: Map<String, Value>,
    answers: SchemaGenerator,
    requests: SchemaGenerator,
}

impl Writer {
    fn add(&mut self, path: &str, method: &str, operation: Value) {
        let slot = self.paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        slot[method] = operation;
    }

    fn operation(&mut self, operation: &Operation) {
        let words = operation.path.split('/').filter_map(|w| w.strip_prefix('{')?.strip_suffix('}'));
        let mut parameters: Vec<Value> = words.map(path_parameter).collect();
        parameters.extend(operation.query.iter().map(|(name, required)| query(name, *required)));
        let mut responses = Map::new();
        for (status, body) in &operation.answers {
            let said = StatusCode::from_u16(*status).ok().and_then(|s| s.canonical_reason()).unwrap_or("OK");
            let response = match body {
                Some((media, schema)) => described(said, media, &schema(&mut self.answers).to_value()),
                None => json!({"description": said}),
            };
            responses.insert(status.to_string(), response);
        }
        responses.insert(
            "default".into(),
            match operation.error {
                None => error(),
                Some(schema) => {
                    described("An error", "application/json", &schema(&mut self.answers).to_value())
                }
            },
        );
        let id: String = format!("{} {}", operation.method.as_str().to_lowercase(), operation.path)
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|w| !w.is_empty())
            .collect::<Vec<_>>()
            .join("_");
        let mut out = json!({
            "operationId": id, "summary": operation.summary, "parameters": parameters, "responses": responses,
        });
        if let Some((media, schema)) = operation.takes {
            out["requestBody"] = content(media, &schema(&mut self.requests).to_value());
        }
        match operation.asker {
            Asker::Caller => {}
            Asker::Session => out["security"] = json!([{"session": []}]),
            Asker::Anybody => out["security"] = json!([]),
        }
        self.add(operation.path, &operation.method.as_str().to_lowercase(), out);
    }

    /// The schema of what is answered for a resource, called by its type.
    fn body(&mut self, spec: &TypeSpec) -> Value {
        let name = spec.name().to_string().replace('/', ".");
        let schema = (spec.schema)(&mut self.answers).to_value();
        // What nobody writes has a body of its own; everything else travels in ARM's envelope.
        let whole = match spec.put {
            PutStyle::Refused => schema,
            _ => json!({"allOf": [schema, envelope(spec)]}),
        };
        let reference = json!({"$ref": format!("{SCHEMAS}{name}")});
        self.bodies.insert(name, whole);
        reference
    }

    fn resources(&mut self, kind: &dyn ResourceType) {
        let spec = kind.spec();
        let body = self.body(spec);
        let error = error();
        let sent = content("application/json", &(spec.schema)(&mut self.requests).to_value());
        let effect = self.answers.subschema_for::<WhatIf>().to_value();
        let shown = |schema: &Value| described("OK", "application/json", schema);
        let written = shown(&json!({"anyOf": [body, effect]}));
        // What lives in groups is listed for the whole subscription, too.
        if spec.scopes == [ScopeKind::ResourceGroup] && !spec.path.contains('/') {
            self.list(kind, place(spec, ScopeKind::Subscription), ("list", ScopeKind::Subscription), &body);
        }
        if spec.unlocated().is_some() {
            self.list(kind, place(spec, ScopeKind::Subscription), ("list", ScopeKind::Subscription), &body);
            for scope in [ScopeKind::Subscription, ScopeKind::ResourceGroup] {
                self.list(kind, anywhere(spec, scope), ("listAnywhere", scope), &body);
            }
        }
        for scope in spec.scopes {
            self.list(kind, place(spec, *scope), ("list", *scope), &body);
            let (path, name, parameters) = place(spec, *scope);
            let id = |verb: &str| operation_id(spec, verb, *scope);
            let item_path = format!("{path}/{{{name}}}");
            let mut item = parameters;
            item.push(path_parameter(&name));
            let mut read = item.clone();
            read.push(query("$expand", false));
            self.add(
                &item_path,
                "get",
                json!({"operationId": id("get"), "parameters": read, "responses": {"200": shown(&body), "default": error}}),
            );
            self.add(
                &item_path,
                "head",
                json!({"operationId": id("head"), "parameters": item, "responses": {"204": {"description": "It is there"}, "default": error}}),
            );
            let mut write = item.clone();
            write.push(query("whatIf", false));
            let mut conditional = write.clone();
            conditional.extend(["If-Match", "If-None-Match"].map(header));
            if spec.storage != Storage::Computed {
                if spec.put != PutStyle::Refused {
                    self.add(
                        &item_path,
                        "put",
                        json!({
                            "operationId": id("put"), "parameters": conditional, "requestBody": sent,
                            "responses": {"200": written, "201": shown(&body), "default": error},
                        }),
                    );
                }
                self.add(&item_path, "patch", json!({
                    "operationId": id("patch"), "parameters": conditional,
                    "requestBody": content("application/json", &json!({"type": "object", "description": "A JSON merge patch (RFC 7396)"})),
                    "responses": {"200": written, "default": error},
                }));
                if kind.is_removable() {
                    self.add(&item_path, "delete", json!({
                    "operationId": id("delete"), "parameters": conditional,
                    "responses": {"200": written, "202": accepted(), "204": {"description": "It was not there"}, "default": error},
                    }));
                }
            }
            for action in spec.actions {
                let answered = (action.answers)(&mut self.answers).to_value();
                let taken = (action.takes)(&mut self.requests).to_value();
                let responses = match action.style {
                    ActionStyle::Sync => json!({"200": shown(&answered), "default": error}),
                    ActionStyle::Accepted => json!({"202": shown(&answered), "default": error}),
                    ActionStyle::LongRunning => {
                        json!({"200": shown(&answered), "202": accepted(), "default": error})
                    }
                };
                self.add(
                    &format!("{item_path}/{}", action.verb),
                    "post",
                    json!({
                        "operationId": id(action.verb), "summary": action.title, "parameters": item,
                        "requestBody": optional(content("application/json", &taken)),
                        "responses": responses,
                    }),
                );
            }
        }
    }

    fn list(
        &mut self,
        kind: &dyn ResourceType,
        (path, _, mut parameters): Place,
        (verb, scope): (&str, ScopeKind),
        body: &Value,
    ) {
        // With `$select`, rows have the fields only that it names.
        let row = match kind.selects() {
            true => json!({"anyOf": [body, {"type": "object"}]}),
            false => body.clone(),
        };
        let list = if kind.is_singleton() {
            body.clone()
        } else {
            json!({"type": "object", "required": ["value"], "properties": {
                "value": {"type": "array", "items": row}, "nextLink": {"type": "string"}}})
        };
        parameters.extend(["$filter", "$top", "$skiptoken", "$expand", "$orderby"].map(|n| query(n, false)));
        if kind.selects() {
            parameters.push(query("$select", false));
        }
        let error = error();
        self.add(
            &path,
            "get",
            json!({
                "operationId": operation_id(kind.spec(), verb, scope), "parameters": parameters,
                "responses": {"200": described("OK", "application/json", &list), "default": error},
            }),
        );
    }

    fn scope_action(&mut self, kind: &dyn sekisho_arm::registry::ScopeAction) {
        let action = kind.action();
        let error = error();
        for scope in ScopeKind::ALL {
            let (base, mut parameters) = base(scope);
            parameters.push(query("api-version", true));
            parameters.extend(kind.queries().iter().map(|name| query(name, false)));
            if !action.reads {
                parameters.push(query("whatIf", false));
            }
            let answered = (action.answers)(&mut self.answers).to_value();
            let taken = (action.takes)(&mut self.requests).to_value();
            self.add(
                &format!("{base}/providers/{}/{}", kind.namespace(), action.verb),
                "post",
                json!({
                    "operationId": format!("{}_{}_{scope:?}", kind.namespace().replace('.', ""), action.verb),
                    "summary": action.title, "parameters": parameters,
                    "requestBody": content("application/json", &taken),
                    "responses": {"200": described("OK", "application/json", &answered), "default": error},
                }),
            );
        }
    }

    fn finish(mut self) -> Value {
        let refusal = self.answers.subschema_for::<ErrorResponse>().to_value();
        let mut schemas: Map<String, Value> = self.answers.take_definitions(true).into_iter().collect();
        schemas.values_mut().for_each(never_null);
        let requests: Map<String, Value> = self.requests.take_definitions(true).into_iter().collect();
        let mut differs: BTreeSet<String> = BTreeSet::new();
        loop {
            let found = requests.iter().filter(|(name, schema)| {
                let same = |kept: &Value| pointed(schema, REQUESTS, SCHEMAS) == *kept;
                !differs.contains(*name)
                    && schemas
                        .get(*name)
                        .is_some_and(|kept| !same(kept) || differs.iter().any(|d| refers(schema, d)))
            });
            let found: Vec<String> = found.map(|(name, _)| name.clone()).collect();
            if found.is_empty() {
                break;
            }
            differs.extend(found);
        }
        schemas.extend(self.bodies);
        for (name, schema) in requests {
            let name = if differs.contains(&name) { format!("{name}Input") } else { name };
            schemas.insert(name, schema);
        }
        let mut document = json!({
            "openapi": "3.1.0",
            "info": {"title": "Sekisho", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0"}},
            "paths": self.paths,
            "components": {
                "schemas": schemas,
                "responses": {"Error": described("An error", "application/json", &refusal)},
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "description": "An access token of the token endpoint"},
                    "session": {"type": "apiKey", "in": "cookie", "name": crate::authn::COOKIE, "description": "A person who has signed in"},
                },
            },
            "security": [{"bearer": []}, {"session": []}],
        });
        walk(&mut document, &mut |value| {
            if let Some(Value::String(to)) = value.get_mut("$ref")
                && let Some(name) = to.strip_prefix(REQUESTS)
            {
                let name = if differs.contains(name) { format!("{name}Input") } else { name.to_owned() };
                *to = format!("{SCHEMAS}{name}");
            }
        });
        document
    }
}

fn walk(value: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    change(value);
    match value {
        Value::Object(map) => map.values_mut().for_each(|v| walk(v, change)),
        Value::Array(all) => all.iter_mut().for_each(|v| walk(v, change)),
        _ => {}
    }
}

/// A schema whose references point elsewhere.
fn pointed(schema: &Value, from: &str, to: &str) -> Value {
    let mut out = schema.clone();
    walk(&mut out, &mut |value| {
        if let Some(Value::String(reference)) = value.get_mut("$ref")
            && let Some(name) = reference.strip_prefix(from)
        {
            *reference = format!("{to}{name}");
        }
    });
    out
}

fn refers(schema: &Value, name: &str) -> bool {
    let (mut copy, mut found) = (schema.clone(), false);
    let wanted = format!("{REQUESTS}{name}");
    walk(&mut copy, &mut |value| found |= value.get("$ref").is_some_and(|r| *r == wanted.as_str()));
    found
}

/// In an answer, a field that may be left out is left out: it is never null.
fn never_null(schema: &mut Value) {
    walk(schema, &mut |value| {
        let required = value.get("required").cloned().unwrap_or_default();
        let required: Vec<&str> =
            required.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let Some(Value::Object(properties)) = value.get_mut("properties") else { return };
        for (_, property) in properties.iter_mut().filter(|(name, _)| !required.contains(&name.as_str())) {
            if let Some(Value::Array(types)) = property.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    property["type"] = only.clone();
                }
            }
            if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
                choices.retain(|c| c != &json!({"type": "null"}));
            }
            if property.get("default").is_some_and(Value::is_null)
                && let Some(map) = property.as_object_mut()
            {
                map.remove("default");
            }
        }
    });
}

/// What every resource that is kept has beside its own fields.
fn envelope(spec: &TypeSpec) -> Value {
    let mut required = vec!["id", "name", "type"];
    let mut properties = json!({
        "id": {"type": "string"}, "name": {"type": "string"}, "type": {"type": "string"},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    });
    // Children that are kept inside their parents have no location of their own.
    if spec.location && !spec.path.contains('/') {
        required.push("location");
        properties["location"] = json!({"type": "string"});
    }
    if spec.shows_etag {
        required.push("etag");
        properties["etag"] = json!({"type": "string"});
    }
    if spec.shows_state {
        required.push("properties");
        properties["properties"] = json!({
            "type": "object", "required": ["provisioningState"], "properties": {"provisioningState": {"type": "string"}},
        });
    }
    json!({"type": "object", "required": required, "properties": properties})
}

fn content(media: &str, schema: &Value) -> Value {
    json!({"required": true, "content": {media: {"schema": schema}}})
}

fn optional(mut body: Value) -> Value {
    body["required"] = false.into();
    body
}

fn described(said: &str, media: &str, schema: &Value) -> Value {
    json!({"description": said, "content": {media: {"schema": schema}}})
}

fn error() -> Value {
    json!({"$ref": "#/components/responses/Error"})
}

fn accepted() -> Value {
    let text = json!({"schema": {"type": "string"}});
    json!({"description": "Accepted: poll Azure-AsyncOperation or Location", "headers": {"Location": text, "Azure-AsyncOperation": text}})
}

fn path_parameter(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn query(name: &str, required: bool) -> Value {
    json!({"name": name, "in": "query", "required": required, "schema": {"type": "string"}})
}

fn header(name: &str) -> Value {
    json!({"name": name, "in": "header", "schema": {"type": "string"}})
}

fn singular(word: &str) -> &str {
    word.strip_suffix('s').unwrap_or(word)
}

fn operation_id(spec: &TypeSpec, verb: &str, scope: ScopeKind) -> String {
    format!("{}_{}_{verb}_{scope:?}", spec.namespace.replace('.', ""), spec.path.replace('/', "_"))
}

/// The path of a collection, what the parameter of an item is called, the parameters.
type Place = (String, String, Vec<Value>);

/// Where the collection of all locations is.
fn anywhere(spec: &TypeSpec, scope: ScopeKind) -> Place {
    let (base, mut parameters) = base(scope);
    parameters.push(query("api-version", true));
    let last = spec.unlocated().unwrap_or_default();
    (format!("{base}/providers/{}/{last}", spec.namespace), String::new(), parameters)
}

/// Where a type's collection is at a scope.
fn place(spec: &TypeSpec, scope: ScopeKind) -> Place {
    let (base, mut parameters) = base(scope);
    parameters.push(query("api-version", true));
    if (spec.namespace, spec.path) == ("Microsoft.Resources", "subscriptions") {
        return ("/subscriptions".to_owned(), "subscriptionId".to_owned(), parameters);
    }
    let mut path = match (spec.namespace, spec.path) {
        ("Microsoft.Resources", "resourceGroups") => base,
        (namespace, _) => format!("{base}/providers/{namespace}"),
    };
    let words: Vec<&str> = spec.path.split('/').collect();
    let (last, parents) = words.split_last().unwrap_or((&"", &[]));
    for word in parents {
        let name = format!("{}Name", singular(word));
        path.push_str(&format!("/{word}/{{{name}}}"));
        parameters.push(path_parameter(&name));
    }
    path.push_str(&format!("/{last}"));
    (path, format!("{}Name", singular(last)), parameters)
}

/// The path of a scope.
fn base(scope: ScopeKind) -> (String, Vec<Value>) {
    let named =
        |path: &str, names: &[&str]| (path.to_owned(), names.iter().map(|n| path_parameter(n)).collect());
    match scope {
        ScopeKind::Tenant => named("", &[]),
        ScopeKind::ManagementGroup => named(
            "/providers/Microsoft.Management/managementGroups/{managementGroupName}",
            &["managementGroupName"],
        ),
        ScopeKind::Subscription => named("/subscriptions/{subscriptionId}", &["subscriptionId"]),
        ScopeKind::ResourceGroup => named(
            "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}",
            &["subscriptionId", "resourceGroupName"],
        ),
        // Any number of segments, as in Azure's own documents.
        ScopeKind::Resource => named("/{resourceId}", &["resourceId"]),
    }
}
