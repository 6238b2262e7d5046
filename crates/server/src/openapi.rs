//! The OpenAPI document of the ARM types, made from the registry: what is registered is described, and nothing else.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use schemars::generate::SchemaSettings;
use sekisho_arm::registry::{PutStyle, Registry, ScopeKind, Storage};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::http as web;

/// `GET /openapi.json`.
pub async fn document(State(app): State<Arc<App>>) -> Response {
    web::json(StatusCode::OK, &describe(&app.registry))
}

/// The document.
pub fn describe(registry: &Registry) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|s| s.definitions_path = "/components/schemas".into())
        .into_generator();
    let mut paths = Map::new();
    for kind in registry.types() {
        let spec = kind.spec();
        let schema = (spec.schema)(&mut generator);
        let body = |schema: &schemars::Schema| json!({"content": {"application/json": {"schema": schema}}});
        let error = json!({"$ref": "#/components/responses/Error"});
        for scope in spec.scopes {
            let Some((base, base_parameters)) = base(*scope) else { continue };
            let mut path = match (spec.namespace, spec.path) {
                ("Microsoft.Resources", "resourceGroups") => base,
                (namespace, _) => format!("{base}/providers/{namespace}"),
            };
            let mut parameters = base_parameters;
            parameters.push(query("api-version", true));
            let words: Vec<&str> = spec.path.split('/').collect();
            for (index, word) in words.iter().enumerate() {
                path.push_str(&format!("/{word}"));
                if index + 1 < words.len() {
                    let name = format!("{}Name", singular(word));
                    path.push_str(&format!("/{{{name}}}"));
                    parameters.push(path_parameter(&name));
                }
            }
            let id = format!("{}_{}", spec.namespace.replace('.', ""), spec.path.replace('/', "_"));
            let suffix = format!("{scope:?}");
            let list_schema = json!({"type": "object", "required": ["value"], "properties": {
                "value": {"type": "array", "items": schema}, "nextLink": {"type": "string"}}});
            paths.insert(
                path.clone(),
                json!({"get": {
                    "operationId": format!("{id}_list_{suffix}"), "parameters": parameters,
                    "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": list_schema}}}, "default": error},
                }}),
            );
            let name = format!("{}Name", singular(words.last().unwrap_or(&"resource")));
            let mut item_parameters = parameters.clone();
            item_parameters.push(path_parameter(&name));
            let mut item = Map::new();
            item.insert(
                "get".into(),
                json!({
                    "operationId": format!("{id}_get_{suffix}"), "parameters": item_parameters,
                    "responses": {"200": with_description(body(&schema)), "default": error},
                }),
            );
            if spec.storage != Storage::Computed {
                let mut write_parameters = item_parameters.clone();
                write_parameters.push(query("whatIf", false));
                write_parameters
                    .push(json!({"name": "If-Match", "in": "header", "schema": {"type": "string"}}));
                if spec.put != PutStyle::Refused {
                    item.insert("put".into(), json!({
                        "operationId": format!("{id}_put_{suffix}"), "parameters": write_parameters, "requestBody": body(&schema),
                        "responses": {"200": with_description(body(&schema)), "201": with_description(body(&schema)), "default": error},
                    }));
                }
                item.insert("delete".into(), json!({
                    "operationId": format!("{id}_delete_{suffix}"), "parameters": write_parameters,
                    "responses": {"200": {"description": "Removed"}, "202": {"description": "Accepted"}, "204": {"description": "It was not there"}, "default": error},
                }));
            }
            let item_path = format!("{path}/{{{name}}}");
            for action in spec.actions {
                paths.insert(format!("{item_path}/{}", action.verb), json!({"post": {
                    "operationId": format!("{id}_{}_{suffix}", action.verb), "summary": action.title, "parameters": item_parameters,
                    "responses": {"200": {"description": "OK"}, "202": {"description": "Accepted"}, "default": error},
                }}));
            }
            paths.insert(item_path, Value::Object(item));
        }
    }
    let mut schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    schemas.insert("ErrorResponse".into(), json!({"type": "object", "required": ["error"], "properties": {"error": {
        "type": "object", "required": ["code", "message"], "properties": {
            "code": {"type": "string"}, "message": {"type": "string"}, "target": {"type": "string"},
            "details": {"type": "array", "items": {"type": "object"}}, "additionalInfo": {"type": "array", "items": {"type": "object"}}}}}}));
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Sekisho", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Error": {"description": "An ARM error", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}}},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    })
}

fn with_description(mut body: Value) -> Value {
    body["description"] = "OK".into();
    body
}

fn path_parameter(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn query(name: &str, required: bool) -> Value {
    json!({"name": name, "in": "query", "required": required, "schema": {"type": "string"}})
}

fn singular(word: &str) -> &str {
    word.strip_suffix('s').unwrap_or(word)
}

/// The path of a scope; extension scopes are described by the group they are most used at.
fn base(scope: ScopeKind) -> Option<(String, Vec<Value>)> {
    let subscription = path_parameter("subscriptionId");
    match scope {
        ScopeKind::Tenant => Some((String::new(), Vec::new())),
        ScopeKind::Subscription => Some(("/subscriptions/{subscriptionId}".to_owned(), vec![subscription])),
        ScopeKind::ResourceGroup => Some((
            "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}".to_owned(),
            vec![subscription, path_parameter("resourceGroupName")],
        )),
        ScopeKind::ManagementGroup | ScopeKind::Resource => None,
    }
}
