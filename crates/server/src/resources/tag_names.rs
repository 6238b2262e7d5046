//! `S/tagNames`: the names and values of tags that a subscription knows, both those that were put there beforehand
//! (`az tag create --name`) and those that something in it has.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use sekisho_arm::engine::Answer;
use sekisho_arm::resource::{check_tags, shown};
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Listing, Read, Resource, Scope, StoreError, Write};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::core::Total;
use crate::routes::List;

/// The document kind of names that were put there beforehand.
const KIND: &str = "tagName";
/// Most names of a subscription, and most values of a name, that can be put there beforehand.
const MAX: usize = 1000;

/// The rights: reading what was put there, and writing and removing names and values.
pub const RIGHTS: [&str; 5] = [
    READ,
    "Microsoft.Resources/subscriptions/tagNames/write",
    "Microsoft.Resources/subscriptions/tagNames/delete",
    "Microsoft.Resources/subscriptions/tagNames/tagValues/write",
    "Microsoft.Resources/subscriptions/tagNames/tagValues/delete",
];
/// The right to read what was put there beforehand.
pub const READ: &str = "Microsoft.Resources/subscriptions/tagNames/read";

/// A name that was put there, in the case of whoever did.
#[derive(Clone, Serialize, Deserialize)]
struct Known {
    name: String,
    values: Vec<String>,
}

/// What a path under `tagNames` names.
#[derive(Debug, Clone)]
pub struct Word {
    name: String,
    value: Option<String>,
}

impl Word {
    /// Reads the words after the subscription, `tagNames/{name}[/tagValues/{value}]`.
    pub fn parse(words: &[String]) -> Option<Word> {
        let is = |index: usize, word: &str| {
            words.get(index).is_some_and(|w: &String| w.eq_ignore_ascii_case(word))
        };
        let name = words.get(1).filter(|_| is(0, "tagNames"))?.clone();
        match words.len() {
            2 => Some(Word { name, value: None }),
            4 if is(2, "tagValues") => Some(Word { name, value: words.get(3).cloned() }),
            _ => None,
        }
    }

    /// The right that a method needs.
    pub fn right(&self, method: &Method) -> Option<&'static str> {
        Some(match (method, &self.value) {
            (&Method::PUT, None) => RIGHTS[1],
            (&Method::DELETE, None) => RIGHTS[2],
            (&Method::PUT, Some(_)) => RIGHTS[3],
            (&Method::DELETE, Some(_)) => RIGHTS[4],
            _ => return None,
        })
    }
}

fn key(subscription: &Scope, name: &str) -> String {
    format!("{}/{}", subscription.name(), name).to_lowercase()
}

/// How often each value of each name is used. Names are told apart without regard to case.
#[derive(Default)]
struct Used(BTreeMap<String, (String, BTreeMap<String, usize>)>);

impl Used {
    fn of(all: &[Resource]) -> Used {
        let mut used = Used::default();
        for (name, value) in all.iter().filter_map(|r| r.tags.as_ref()).flatten() {
            let values = used.values(name);
            *values.entry(value.as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        used
    }

    fn values(&mut self, name: &str) -> &mut BTreeMap<String, usize> {
        &mut self.0.entry(name.to_lowercase()).or_insert_with(|| (name.to_owned(), BTreeMap::new())).1
    }
}

/// A tag that a subscription knows, with its values.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagName {
    id: String,
    tag_name: String,
    count: Total,
    values: Vec<TagValue>,
}

impl TagName {
    fn of(scope: &Scope, name: &str, values: &BTreeMap<String, usize>) -> TagName {
        TagName {
            id: format!("{scope}/tagNames/{name}"),
            tag_name: name.to_owned(),
            count: Total::of(values.values().sum()),
            values: values.iter().map(|(v, n)| TagValue::of(scope, name, v, *n)).collect(),
        }
    }
}

/// A value of a tag.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagValue {
    id: String,
    tag_value: String,
    count: Total,
}

impl TagValue {
    fn of(scope: &Scope, name: &str, value: &str, number: usize) -> TagValue {
        TagValue {
            id: format!("{scope}/tagNames/{name}/tagValues/{value}"),
            tag_value: value.to_owned(),
            count: Total::of(number),
        }
    }
}

async fn tagged(read: &mut (dyn Read + '_), scope: &Scope) -> Result<Vec<Resource>, StoreError> {
    read.list(&Listing::all(scope)).await
}

/// `GET S/tagNames`: the tags of what the caller may read, and with `known` the names that were put there.
///
/// # Errors
/// Those of the database.
pub async fn list(
    read: &mut (dyn Read + '_),
    scope: &Scope,
    known: bool,
    reads: &(dyn Fn(&Resource) -> bool + Sync),
) -> Result<List<TagName>, ArmError> {
    let mut all = tagged(read, scope).await?;
    all.retain(reads);
    let mut used = Used::of(&all);
    if known {
        let prefix = key(scope, "");
        let there: Vec<(String, Known)> = read_documents(read, KIND).await?;
        for (_, known) in there.into_iter().filter(|(key, _)| key.starts_with(&prefix)) {
            let values = used.values(&known.name);
            for value in known.values {
                values.entry(value).or_insert(0);
            }
        }
    }
    Ok(List::of(used.0.values().map(|(name, values)| TagName::of(scope, name, values)).collect()))
}

/// PUT and DELETE of a name or a value.
///
/// # Errors
/// 400 for what cannot be a tag; 404 for a value of no name; 409 when the tag is in use, or too many are there.
pub async fn change(
    tx: &mut (dyn Write + '_),
    scope: &Scope,
    word: &Word,
    method: &Method,
) -> Result<Answer, ArmError> {
    let (name, value) = (&word.name, word.value.as_deref());
    check_tags(Map::from_iter([(name.clone(), value.unwrap_or_default().into())]))?;
    let key = key(scope, name);
    let kept: Option<Known> = read_document(tx.as_read(), KIND, &key).await?;
    if *method == Method::DELETE {
        return remove(tx, scope, word, &key, kept).await;
    }
    let new = match (&kept, value) {
        (None, Some(_)) => {
            let text = format!("The tag name '{name}' does not exist. Create it first.");
            return Err(ArmError::new(404, "TagNameNotFound", text));
        }
        (Some(known), Some(value)) => !known.values.iter().any(|v| v == value),
        (known, None) => known.is_none(),
    };
    let mut known = kept.unwrap_or_else(|| Known { name: name.clone(), values: Vec::new() });
    if new {
        let there = match value {
            Some(_) => known.values.len(),
            None => {
                let prefix = self::key(scope, "");
                tx.documents(KIND).await?.iter().filter(|d| d.key.starts_with(&prefix)).count()
            }
        };
        if there >= MAX {
            let text = format!("A subscription has at most {MAX} tag names with at most {MAX} values each.");
            return Err(ArmError::new(409, "TagLimitReached", text));
        }
        known.values.extend(value.map(str::to_owned));
        write_document(tx, KIND, &key, &known).await?;
    }
    let mut used = Used::of(&tagged(tx.as_read(), scope).await?);
    let values = used.values(&known.name);
    let body = match value {
        Some(value) => {
            shown(&TagValue::of(scope, &known.name, value, values.get(value).copied().unwrap_or(0)))?
        }
        None => {
            for value in known.values {
                values.entry(value).or_insert(0);
            }
            shown(&TagName::of(scope, &known.name, values))?
        }
    };
    Ok(Answer::json(if new { 201 } else { 200 }, body))
}

async fn remove(
    tx: &mut (dyn Write + '_),
    scope: &Scope,
    word: &Word,
    key: &str,
    kept: Option<Known>,
) -> Result<Answer, ArmError> {
    let mut used = Used::of(&tagged(tx.as_read(), scope).await?);
    let values = used.values(&word.name);
    let times: usize = match &word.value {
        Some(value) => values.get(value).copied().unwrap_or(0),
        None => values.values().sum(),
    };
    if times > 0 {
        let what = word.value.as_ref().map_or(String::new(), |v| format!(" with the value '{v}'"));
        let text =
            format!("The tag '{}'{what} cannot be deleted because {times} resources have it.", word.name);
        return Err(ArmError::new(409, "TagInUse", text));
    }
    let Some(mut known) = kept else { return Ok(Answer::empty(204)) };
    match &word.value {
        None => {
            tx.remove_document(KIND, key).await?;
        }
        Some(value) => {
            let before = known.values.len();
            known.values.retain(|v| v != value);
            if known.values.len() == before {
                return Ok(Answer::empty(204));
            }
            write_document(tx, KIND, key, &known).await?;
        }
    }
    Ok(Answer::empty(200))
}
