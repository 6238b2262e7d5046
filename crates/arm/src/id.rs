//! Resource ids and scopes: the paths that name everything in ARM.
//!
//! A [`Scope`] is a place rights can be granted at and resources can live in; every resource is itself a scope,
//! because its children and extension resources live in it. Comparison ignores case, printing keeps the case the
//! creator used (research 09 §2.1). Parsing is strict: what is not a well-formed id never becomes one.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest id accepted, in bytes. ARM's own limit is lower for every type; this bounds work on hostile input.
pub const MAX_ID_BYTES: usize = 2048;
/// Longest single name in an id, in bytes (ARM: 260 for any resource name).
pub const MAX_NAME_BYTES: usize = 260;

/// Why a text is not a resource id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is longer than [`MAX_ID_BYTES`].
    #[error("the id is longer than {MAX_ID_BYTES} bytes")]
    TooLong,
    /// The text does not begin with `/`.
    #[error("the id does not begin with '/'")]
    NotAbsolute,
    /// A name or type segment is empty, too long or holds a forbidden character.
    #[error("the segment '{0}' is not a valid name")]
    Segment(String),
    /// The subscription segment is not a GUID.
    #[error("the subscription '{0}' is not a GUID")]
    Subscription(String),
    /// The path does not follow the grammar of ids.
    #[error("the path '{0}' is not a resource id")]
    Shape(String),
}

/// A namespace and a type path, such as `Microsoft.Network` and `networkSecurityGroups/securityRules`.
#[derive(Clone, Debug)]
pub struct TypeName {
    /// The resource provider namespace, in the case it was written.
    pub namespace: String,
    /// The type and its child types joined by `/`.
    pub path: String,
}

impl TypeName {
    /// Makes a type name from its two parts; no check beyond what the parts carry.
    pub fn new(namespace: impl Into<String>, path: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), path: path.into() }
    }

    /// The lower-case form used for comparison and as a database key.
    pub fn key(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }

    /// Whether `text` (`Namespace/path`) names this type, ignoring case.
    pub fn is(&self, text: &str) -> bool {
        text.split_once('/').is_some_and(|(n, p)| {
            n.eq_ignore_ascii_case(&self.namespace) && p.eq_ignore_ascii_case(&self.path)
        })
    }

    /// The parent type of a child type.
    pub fn parent(&self) -> Option<TypeName> {
        self.path.rsplit_once('/').map(|(p, _)| TypeName::new(self.namespace.clone(), p))
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.path)
    }
}

impl PartialEq for TypeName {
    fn eq(&self, other: &Self) -> bool {
        self.namespace.eq_ignore_ascii_case(&other.namespace) && self.path.eq_ignore_ascii_case(&other.path)
    }
}
impl Eq for TypeName {}
impl Hash for TypeName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// The id of one resource: the scope it lives in, its namespace and the chain of types and names.
#[derive(Clone, Debug)]
pub struct ResourceId {
    parent: Scope,
    namespace: String,
    chain: Vec<(String, String)>,
}

impl ResourceId {
    /// Puts an id together from checked parts.
    ///
    /// # Errors
    /// When a part is not a valid segment or the chain is empty.
    pub fn new(parent: Scope, namespace: &str, chain: &[(&str, &str)]) -> Result<Self, IdError> {
        if chain.is_empty() {
            return Err(IdError::Shape(namespace.to_owned()));
        }
        check_segment(namespace)?;
        let mut parts = Vec::with_capacity(chain.len());
        for (kind, name) in chain {
            check_segment(kind)?;
            check_segment(name)?;
            parts.push(((*kind).to_owned(), (*name).to_owned()));
        }
        Ok(Self { parent, namespace: namespace.to_owned(), chain: parts })
    }

    /// The scope that the resource's first segment lives in (not the parent resource of a child).
    pub fn base_scope(&self) -> &Scope {
        &self.parent
    }

    /// The provider namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The full type name.
    pub fn type_name(&self) -> TypeName {
        let path: Vec<&str> = self.chain.iter().map(|(t, _)| t.as_str()).collect();
        TypeName::new(self.namespace.clone(), path.join("/"))
    }

    /// The last name: what ARM shows as `name`.
    pub fn name(&self) -> &str {
        self.chain.last().map_or("", |(_, n)| n)
    }

    /// The chain of (type, name) pairs.
    pub fn chain(&self) -> &[(String, String)] {
        &self.chain
    }

    /// The parent resource of a child resource.
    pub fn parent_resource(&self) -> Option<ResourceId> {
        (self.chain.len() > 1).then(|| Self {
            parent: self.parent.clone(),
            namespace: self.namespace.clone(),
            chain: self.chain[..self.chain.len() - 1].to_vec(),
        })
    }

    /// The id of a child of this resource.
    ///
    /// # Errors
    /// When the type or name is not a valid segment.
    pub fn child(&self, kind: &str, name: &str) -> Result<ResourceId, IdError> {
        check_segment(kind)?;
        check_segment(name)?;
        let mut chain = self.chain.clone();
        chain.push((kind.to_owned(), name.to_owned()));
        Ok(Self { parent: self.parent.clone(), namespace: self.namespace.clone(), chain })
    }

    fn write_to(&self, out: &mut impl fmt::Write) -> fmt::Result {
        if !matches!(self.parent, Scope::Tenant) {
            self.parent.write_to(out)?;
        }
        write_all(out, ["/providers/", &self.namespace])?;
        self.chain.iter().try_for_each(|(kind, name)| write_all(out, ["/", kind, "/", name]))
    }

    /// The same id with namespace and types spelled as registered.
    pub fn with_spelling(&self, canonical: &TypeName) -> ResourceId {
        let mut id = self.clone();
        id.namespace.clone_from(&canonical.namespace);
        for (slot, kind) in id.chain.iter_mut().zip(canonical.path.split('/')) {
            kind.clone_into(&mut slot.0);
        }
        id
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

/// A place in the tree: tenant root, management group, subscription, resource group or resource.
#[derive(Clone, Debug)]
pub enum Scope {
    /// The root of everything, written `/`.
    Tenant,
    /// `/providers/Microsoft.Management/managementGroups/{name}`.
    ManagementGroup(String),
    /// `/subscriptions/{guid}`.
    Subscription(String),
    /// `/subscriptions/{guid}/resourceGroups/{name}`.
    ResourceGroup {
        /// The subscription's GUID.
        subscription: String,
        /// The group's name in the creator's case.
        name: String,
    },
    /// A resource, which is the scope of its children and extensions.
    Resource(Box<ResourceId>),
}

impl Scope {
    /// Parses an id. A trailing slash and doubled slashes are tolerated, as stock clients send them.
    ///
    /// # Errors
    /// [`IdError`] when the text is not an id of a scope.
    pub fn parse(text: &str) -> Result<Scope, IdError> {
        let segments = split_path(text)?;
        Self::from_segments(&segments).ok_or_else(|| IdError::Shape(text.to_owned())).and_then(|scope| {
            if let Some(subscription) = scope.subscription() {
                // With braces or without hyphens it would be a second spelling of the same subscription.
                uuid::Uuid::try_parse(subscription)
                    .ok()
                    .filter(|guid| guid.hyphenated().to_string().eq_ignore_ascii_case(subscription))
                    .ok_or_else(|| IdError::Subscription(subscription.to_owned()))?;
            }
            Ok(scope)
        })
    }

    fn from_segments(segments: &[String]) -> Option<Scope> {
        let is = |i: usize, word: &str| segments.get(i).is_some_and(|s| s.eq_ignore_ascii_case(word));
        let (mut scope, mut at) = if is(0, "subscriptions") {
            let subscription = segments.get(1)?.clone();
            if is(2, "resourceGroups") {
                (Scope::ResourceGroup { subscription, name: segments.get(3)?.clone() }, 4)
            } else {
                (Scope::Subscription(subscription), 2)
            }
        } else {
            (Scope::Tenant, 0)
        };
        while at < segments.len() {
            if !is(at, "providers") {
                return None;
            }
            let namespace = segments.get(at + 1)?.clone();
            let end = segments[at + 2..]
                .iter()
                .position(|s| s.eq_ignore_ascii_case("providers"))
                .map_or(segments.len(), |p| at + 2 + p);
            let chain = &segments[at + 2..end];
            if chain.is_empty() || !chain.len().is_multiple_of(2) {
                return None;
            }
            let chain: Vec<(String, String)> =
                chain.chunks(2).map(|c| (c[0].clone(), c[1].clone())).collect();
            scope = ResourceId { parent: scope, namespace, chain }.into();
            at = end;
        }
        Some(scope)
    }

    /// The lower-case form used for comparison and as a database key.
    pub fn key(&self) -> String {
        // Made with every request: without the machinery of formatting, in one piece.
        let mut key = String::with_capacity(192);
        // Writing to a text cannot fail.
        let _ = self.write_to(&mut key);
        key.make_ascii_lowercase();
        key
    }

    /// The keys of the scopes above it by path, nearest first, without the tenant's: parts of its own, which is `key`.
    pub fn keys_above<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let links = |scope: &Scope| scope.resource().map_or(0, |id| id.chain.len());
        let (mut at, mut left, mut rest) = (Some(self), links(self), key);
        std::iter::from_fn(move || {
            let cut = match at.take()? {
                Scope::Tenant | Scope::ManagementGroup(_) | Scope::Subscription(_) => return None,
                Scope::ResourceGroup { name, .. } => "/resourceGroups/".len() + name.len(),
                here @ Scope::Resource(id) => {
                    left = left.checked_sub(1)?;
                    let (kind, name) = id.chain.get(left)?;
                    let link = "/".len() + kind.len() + "/".len() + name.len();
                    if left > 0 {
                        at = Some(here);
                        link
                    } else {
                        (at, left) = (Some(&id.parent), links(&id.parent));
                        link + "/providers/".len() + id.namespace.len()
                    }
                }
            };
            rest = rest.get(..rest.len().checked_sub(cut)?)?;
            (!rest.is_empty()).then_some(rest)
        })
    }

    fn write_to(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Scope::Tenant => out.write_str("/"),
            Scope::ManagementGroup(name) => {
                write_all(out, ["/providers/Microsoft.Management/managementGroups/", name])
            }
            Scope::Subscription(id) => write_all(out, ["/subscriptions/", id]),
            Scope::ResourceGroup { subscription, name } => {
                write_all(out, ["/subscriptions/", subscription, "/resourceGroups/", name])
            }
            Scope::Resource(id) => id.write_to(out),
        }
    }

    /// The GUID of the subscription that the scope is in.
    pub fn subscription(&self) -> Option<&str> {
        match self {
            Scope::Tenant | Scope::ManagementGroup(_) => None,
            Scope::Subscription(id) | Scope::ResourceGroup { subscription: id, .. } => Some(id),
            Scope::Resource(id) => id.parent.subscription(),
        }
    }

    /// The name of the resource group that the scope is in.
    pub fn resource_group(&self) -> Option<&str> {
        match self {
            Scope::ResourceGroup { name, .. } => Some(name),
            Scope::Resource(id) => id.parent.resource_group(),
            _ => None,
        }
    }

    /// The resource group scope that contains this scope.
    pub fn group_scope(&self) -> Option<Scope> {
        Some(Scope::ResourceGroup {
            subscription: self.subscription()?.to_owned(),
            name: self.resource_group()?.to_owned(),
        })
    }

    /// The subscription scope that contains this scope.
    pub fn subscription_scope(&self) -> Option<Scope> {
        self.subscription().map(|s| Scope::Subscription(s.to_owned()))
    }

    /// The resource id when the scope is a resource.
    pub fn resource(&self) -> Option<&ResourceId> {
        match self {
            Scope::Resource(id) => Some(id),
            _ => None,
        }
    }

    /// The scope that a `…/locations/{name}` is in; `None` for everything else.
    pub fn located(&self) -> Option<&Scope> {
        let id = self.resource()?;
        let [(kind, _)] = id.chain.as_slice() else { return None };
        kind.eq_ignore_ascii_case("locations").then_some(&id.parent)
    }

    /// The next scope outward by path. A subscription's parent is the tenant here: which management group it is in
    /// is not written in the path and must be looked up.
    pub fn parent(&self) -> Option<Scope> {
        match self {
            Scope::Tenant => None,
            Scope::ManagementGroup(_) | Scope::Subscription(_) => Some(Scope::Tenant),
            Scope::ResourceGroup { subscription, .. } => Some(Scope::Subscription(subscription.clone())),
            Scope::Resource(id) => Some(id.parent_resource().map_or_else(|| id.parent.clone(), Scope::from)),
        }
    }

    /// The type of the thing the scope is.
    pub fn type_name(&self) -> TypeName {
        match self {
            Scope::Tenant => TypeName::new("Microsoft.Resources", "tenants"),
            Scope::ManagementGroup(_) => TypeName::new("Microsoft.Management", "managementGroups"),
            Scope::Subscription(_) => TypeName::new("Microsoft.Resources", "subscriptions"),
            Scope::ResourceGroup { .. } => TypeName::new("Microsoft.Resources", "resourceGroups"),
            Scope::Resource(id) => id.type_name(),
        }
    }

    /// The last name of the id.
    pub fn name(&self) -> &str {
        match self {
            Scope::Tenant => "",
            Scope::ManagementGroup(n) | Scope::Subscription(n) | Scope::ResourceGroup { name: n, .. } => n,
            Scope::Resource(id) => id.name(),
        }
    }

    /// Whether `other` is this scope or lies inside it by path.
    pub fn contains(&self, other: &Scope) -> bool {
        let (outer, inner) = (self.key(), other.key());
        *self == Scope::Tenant
            || inner == outer
            || inner.strip_prefix(&outer).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The id of a resource directly in this scope.
    ///
    /// # Errors
    /// When a part is not a valid segment.
    pub fn resource_in(&self, namespace: &str, kind: &str, name: &str) -> Result<Scope, IdError> {
        Ok(ResourceId::new(self.clone(), namespace, &[(kind, name)])?.into())
    }
}

/// A management group has the id of a resource, and is a scope of its own kind.
impl From<ResourceId> for Scope {
    fn from(id: ResourceId) -> Self {
        match (&id.parent, id.chain.as_slice()) {
            (Scope::Tenant, [(kind, name)])
                if id.namespace.eq_ignore_ascii_case("Microsoft.Management")
                    && kind.eq_ignore_ascii_case("managementGroups") =>
            {
                Scope::ManagementGroup(name.clone())
            }
            _ => Scope::Resource(Box::new(id)),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

fn write_all<const N: usize>(out: &mut impl fmt::Write, parts: [&str; N]) -> fmt::Result {
    parts.into_iter().try_for_each(|part| out.write_str(part))
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.to_string().eq_ignore_ascii_case(&other.to_string())
    }
}
impl Eq for Scope {}
impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
impl FromStr for Scope {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}
impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Scope::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Splits a path into checked segments; empty ones (doubled or trailing slashes) vanish.
pub(crate) fn split_path(text: &str) -> Result<Vec<String>, IdError> {
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong);
    }
    let rest = text.strip_prefix('/').ok_or(IdError::NotAbsolute)?;
    rest.split('/').filter(|s| !s.is_empty()).map(|s| check_segment(s).map(|()| s.to_owned())).collect()
}

/// A segment may hold anything ARM lets a name hold; the characters refused here are those that change what a path
/// means to some reader (`\`, `?`, `#`, `%`, control characters, `.` and `..`).
fn check_segment(segment: &str) -> Result<(), IdError> {
    let forbidden =
        |c: char| c.is_control() || matches!(c, '/' | '\\' | '?' | '#' | '%' | '<' | '>' | '"' | '*' | '|');
    if segment.is_empty()
        || segment.len() > MAX_NAME_BYTES
        || segment == "."
        || segment == ".."
        || segment.ends_with(' ')
        || segment.starts_with(' ')
        || segment.chars().any(forbidden)
    {
        return Err(IdError::Segment(segment.chars().take(80).collect()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUB: &str = "/subscriptions/33333333-3333-3333-3333-333333333333";

    #[test]
    fn ids_compare_without_case_and_print_with_the_creators_case() {
        let a = Scope::parse(&format!(
            "{SUB}/resourcegroups/Rg1/providers/microsoft.network/networksecuritygroups/Web"
        ))
        .unwrap();
        let b = Scope::parse(&format!(
            "{SUB}/resourceGroups/RG1/providers/Microsoft.Network/networkSecurityGroups/web/"
        ))
        .unwrap();
        assert_eq!(a, b);
        assert_eq!(a.name(), "Web");
        assert!(a.to_string().contains("/resourceGroups/Rg1/"), "{a}");
    }

    #[test]
    fn a_group_does_not_contain_its_longer_namesake() {
        let prod = Scope::parse(&format!("{SUB}/resourceGroups/prod")).unwrap();
        let prod2 = Scope::parse(&format!("{SUB}/resourceGroups/prod2")).unwrap();
        assert!(!prod.contains(&prod2));
        assert!(prod.parent().unwrap().contains(&prod2));
    }

    #[test]
    fn the_last_providers_segment_names_an_extension_resource() {
        let id = Scope::parse(&format!(
            "{SUB}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm/providers/Microsoft.Authorization/locks/l"
        ))
        .unwrap();
        let r = id.resource().unwrap();
        assert_eq!(r.type_name().to_string(), "Microsoft.Authorization/locks");
        assert_eq!(r.base_scope().name(), "vm");
    }

    #[test]
    fn what_is_above_a_child_of_a_management_group_is_the_management_group() {
        let corp = "/providers/Microsoft.Management/managementGroups/corp";
        let child =
            Scope::parse(&format!("{corp}/subscriptions/33333333-3333-3333-3333-333333333333")).unwrap();
        assert!(matches!(child.parent(), Some(Scope::ManagementGroup(name)) if name == "corp"));
    }

    #[test]
    fn hostile_names_are_refused() {
        for bad in ["..", ".", "a\\b", "a%2fb", "a?b", "a#b", "a\u{0}b", " a", "a\nb"] {
            assert!(Scope::parse(&format!("{SUB}/resourceGroups/{bad}")).is_err(), "{bad:?}");
        }
        assert!(Scope::parse(&format!("{SUB}/resourceGroups/{}", "a".repeat(300))).is_err());
        assert!(Scope::parse("/subscriptions/not-a-guid").is_err());
        assert!(Scope::parse("/subscriptions/33333333333333333333333333333333").is_err());
        assert!(Scope::parse("/subscriptions/{33333333-3333-3333-3333-333333333333}").is_err());
        assert!(
            Scope::parse(&format!("{SUB}/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks"))
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn every_parsed_id_prints_to_itself(
            group in "[A-Za-z][A-Za-z0-9_.()-]{0,20}[A-Za-z0-9]",
            chain in prop::collection::vec(("[a-z][A-Za-z]{1,12}", "[A-Za-z0-9][A-Za-z0-9_;.-]{0,20}[A-Za-z0-9]"), 1..4),
        ) {
            prop_assume!(chain.iter().all(|(t, n)| !t.eq_ignore_ascii_case("providers") && !n.eq_ignore_ascii_case("providers")));
            let mut text = format!("{SUB}/resourceGroups/{group}/providers/Microsoft.Test");
            for (t, n) in &chain { text.push_str(&format!("/{t}/{n}")); }
            let id = Scope::parse(&text).unwrap();
            prop_assert_eq!(id.to_string(), text.clone());
            let mut up = Some(id.clone());
            while let Some(scope) = up { prop_assert!(scope.contains(&id)); up = scope.parent(); }
        }

        #[test]
        fn parsing_never_panics_and_what_parses_parses_again(text in "\\PC{0,80}|(/[a-zA-Z0-9.%-]{0,8}){0,9}") {
            if let Ok(id) = Scope::parse(&text) {
                prop_assert_eq!(Scope::parse(&id.to_string()).unwrap(), id);
            }
        }
    }
}
