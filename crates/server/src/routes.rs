//! What is served at which path. A route is an [`Operation`] with its handler: the router and the OpenAPI document are
//! made from the same list, so that nothing is served that is not described.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, any, on};
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::app::App;

/// Makes the schema of a body.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Whom a route answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Everybody.
    Anybody,
    /// A person with the portal's session cookie.
    Session,
    /// A person with a session or a program with an access token.
    Caller,
}

/// One method at one path, as the OpenAPI document describes it.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The same as the router takes it.
    filter: MethodFilter,
    /// The path; parameters are in braces.
    pub path: &'static str,
    /// What it does, one sentence without its full stop.
    pub summary: &'static str,
    /// Whom it answers.
    pub asker: Asker,
    /// The names of query parameters; the flag says whether it is required.
    pub query: Vec<(&'static str, bool)>,
    /// The media type and schema of the request's body.
    pub takes: Option<(&'static str, SchemaOf)>,
    /// Status, media type and schema of each answer that is no error; 2xx without a schema have no body.
    pub answers: Vec<(u16, Option<(&'static str, SchemaOf)>)>,
    /// The schema of every other answer, where it is not ARM's error.
    pub error: Option<SchemaOf>,
}

const JSON: &str = "application/json";

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Operation {
    fn new(method: Method, filter: MethodFilter, path: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            filter,
            path,
            summary,
            asker: Asker::Caller,
            query: Vec::new(),
            takes: None,
            answers: Vec::new(),
            error: None,
        }
    }

    /// Reads.
    pub fn get(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::GET, MethodFilter::GET, path, summary)
    }

    /// Tells of something without reading it.
    pub fn head(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::HEAD, MethodFilter::HEAD, path, summary)
    }

    /// Makes or does something.
    pub fn post(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::POST, MethodFilter::POST, path, summary)
    }

    /// Replaces.
    pub fn put(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::PUT, MethodFilter::PUT, path, summary)
    }

    /// Changes.
    pub fn patch(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::PATCH, MethodFilter::PATCH, path, summary)
    }

    /// Removes.
    pub fn delete(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::DELETE, MethodFilter::DELETE, path, summary)
    }

    /// It answers everybody.
    #[must_use]
    pub fn anybody(self) -> Self {
        Self { asker: Asker::Anybody, ..self }
    }

    /// It answers people in the portal only.
    #[must_use]
    pub fn session(self) -> Self {
        Self { asker: Asker::Session, ..self }
    }

    /// It reads a query parameter, which may be left out.
    #[must_use]
    pub fn query(mut self, name: &'static str) -> Self {
        self.query.push((name, false));
        self
    }

    /// It is part of ARM, which refuses requests without an api-version.
    #[must_use]
    pub fn versioned(mut self) -> Self {
        self.query.push(("api-version", true));
        self
    }

    /// It reads a JSON body.
    #[must_use]
    pub fn takes<T: JsonSchema>(self) -> Self {
        self.takes_as::<T>(JSON)
    }

    /// It reads a body of another media type.
    #[must_use]
    pub fn takes_as<T: JsonSchema>(self, media: &'static str) -> Self {
        Self { takes: Some((media, schema_of::<T>)), ..self }
    }

    /// It answers with a JSON body.
    #[must_use]
    pub fn answers<T: JsonSchema>(self, status: u16) -> Self {
        self.answers_as::<T>(status, JSON)
    }

    /// It answers with a body of another media type.
    #[must_use]
    pub fn answers_as<T: JsonSchema>(mut self, status: u16, media: &'static str) -> Self {
        self.answers.push((status, Some((media, schema_of::<T>))));
        self
    }

    /// It answers without a body.
    #[must_use]
    pub fn ends(mut self, status: u16) -> Self {
        self.answers.push((status, None));
        self
    }

    /// It refuses in another shape than ARM's.
    #[must_use]
    pub fn refuses<T: JsonSchema>(self) -> Self {
        Self { error: Some(schema_of::<T>), ..self }
    }
}

/// Routes: what the router serves and what the document says of it.
#[derive(Default)]
pub struct Routes {
    /// Serves them.
    pub router: Router<Arc<App>>,
    /// Describes them.
    pub operations: Vec<Operation>,
}

impl Routes {
    /// Adds a route.
    #[must_use]
    pub fn on<H, T>(mut self, operation: Operation, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.router = self.router.route(operation.path, on(operation.filter, handler));
        self.operations.push(operation);
        self
    }

    /// Adds paths below which a handler finds its way by itself. Whoever adds them describes what it serves there.
    #[must_use]
    pub fn family<H, T>(mut self, paths: &[&'static str], handler: H, operations: Vec<Operation>) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        for path in paths {
            self.router = self.router.route(path, any(handler.clone()));
        }
        self.operations.extend(operations);
        self
    }

    /// Adds all routes of another list.
    #[must_use]
    pub fn merge(mut self, other: Routes) -> Self {
        self.router = self.router.merge(other.router);
        self.operations.extend(other.operations);
        self
    }
}

/// A list as ARM and Graph answer it.
#[derive(Debug, serde::Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct List<T> {
    /// The rows.
    pub value: Vec<T>,
    /// Where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
}

impl<T> List<T> {
    /// A list that is whole.
    pub fn of(value: Vec<T>) -> List<T> {
        List { value, next_link: None }
    }
}

/// A document that is not described further.
#[derive(Debug, serde::Serialize, JsonSchema)]
#[schemars(inline)]
#[serde(transparent)]
pub struct Anything(serde_json::Map<String, serde_json::Value>);

/// A body that is no JSON.
#[derive(Debug, JsonSchema)]
#[schemars(inline)]
pub struct Text(#[allow(dead_code, reason = "only its schema is used")] String);
