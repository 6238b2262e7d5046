//! Azure's list of service tags as Microsoft publishes it every week ("Azure IP Ranges and Service Tags"), and as
//! `locations/serviceTags` answers it: a version (`changeNumber`), and each tag with its prefixes. Source: the file itself and
//! `ServiceTagsListResult` of the network specification.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_arm::ArmError;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::service_tag::RESERVED_TAGS;
use super::{is_tag_name, parse_prefix};

/// Tags of a file; Azure's has about 3,000.
pub const MAX_FILE_TAGS: usize = 20_000;
/// Prefixes of all tags of a file together; Azure's has about 100,000, because regional tags repeat those of the whole.
pub const MAX_FILE_PREFIXES: usize = 1_000_000;

/// The file.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceTagFile {
    /// Its version: rises with each that is published.
    pub change_number: ChangeNumber,
    /// `Public`, `AzureGovernment`, `China`.
    pub cloud: String,
    /// The tags.
    pub values: Vec<FileTag>,
}

/// A tag of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ServiceTagInformation")]
pub struct FileTag {
    /// `Storage`, `Storage.JapanEast`.
    pub name: String,
    /// The same.
    #[serde(default)]
    pub id: String,
    /// What it stands for.
    pub properties: FileTagProperties,
}

/// What a tag of the file stands for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "ServiceTagInformationPropertiesFormat")]
pub struct FileTagProperties {
    /// The version of the file in which it changed last.
    pub change_number: ChangeNumber,
    /// The region, for regional tags.
    pub region: String,
    /// The service that it is of.
    pub system_service: String,
    /// Its prefixes of both families.
    pub address_prefixes: Vec<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A version: a number in the file, the same as a text in the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub struct ChangeNumber(#[schemars(with = "String")] pub u64);

impl Serialize for ChangeNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ChangeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self(number)),
            Written::Text(text) => text.parse().map(Self).map_err(serde::de::Error::custom),
        }
    }
}

impl ServiceTagFile {
    /// Checks the file and returns its tags by their names in lower case, and the names that have a meaning of their own,
    /// which no file changes.
    ///
    /// # Errors
    /// 400 `InvalidServiceTagFile` that names the tag.
    pub fn validate(self) -> Result<(BTreeMap<String, FileTag>, Vec<String>), ArmError> {
        let word = |text: &str| text.len() <= 80 && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if self.cloud.is_empty() || !word(&self.cloud) {
            return Err(invalid("The service tags are of no cloud.").target("properties.cloud"));
        }
        let prefixes: usize = self.values.iter().map(|tag| tag.properties.address_prefixes.len()).sum();
        if self.values.is_empty() || self.values.len() > MAX_FILE_TAGS || prefixes > MAX_FILE_PREFIXES {
            return Err(invalid(format!(
                "There are {} service tags with {prefixes} prefixes. From 1 to {MAX_FILE_TAGS} with {MAX_FILE_PREFIXES} \
                 together are expected.",
                self.values.len()
            ))
            .target("properties.values"));
        }
        let mut tags = BTreeMap::new();
        let mut reserved = Vec::new();
        for (at, mut tag) in self.values.into_iter().enumerate() {
            let target = format!("properties.values[{at}]");
            if !is_tag_name(&tag.name) {
                return Err(invalid("A service tag has a name that no rule can name.").target(target));
            }
            if RESERVED_TAGS.iter().any(|name| name.eq_ignore_ascii_case(&tag.name)) {
                reserved.push(tag.name);
                continue;
            }
            let texts = &tag.properties.address_prefixes;
            if let Some((i, text)) = texts.iter().enumerate().find(|(_, text)| parse_prefix(text).is_none()) {
                let text: String = text.chars().take(80).collect();
                return Err(invalid(format!(
                    "The service tag {} has '{text}' among its prefixes, which is none.",
                    tag.name
                ))
                .target(format!("{target}.properties.addressPrefixes[{i}]")));
            }
            tag.id.clone_from(&tag.name);
            let name = tag.name.clone();
            if tags.insert(name.to_ascii_lowercase(), tag).is_some() {
                return Err(invalid(format!("The service tag {name} is there twice.")).target(target));
            }
        }
        Ok((tags, reserved))
    }
}

fn invalid(text: impl Into<String>) -> ArmError {
    ArmError::bad("InvalidServiceTagFile", text)
}

impl FileTag {
    /// Its prefixes, joined where they are neighbours. What is no prefix was refused when the file came.
    pub fn prefixes(&self) -> Vec<IpNet> {
        let all: Vec<IpNet> =
            self.properties.address_prefixes.iter().filter_map(|text| parse_prefix(text)).collect();
        IpNet::aggregate(&all)
    }
}

/// What another version changes about a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceTagChange {
    /// The tag.
    pub name: String,
    /// What happens to it.
    pub change: TagChange,
    /// How many prefixes come.
    pub added: usize,
    /// How many prefixes go.
    pub removed: usize,
    /// The first of those that come.
    pub added_prefixes: Vec<String>,
    /// The first of those that go.
    pub removed_prefixes: Vec<String>,
}

/// What happens to a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ServiceTagChangeKind")]
pub enum TagChange {
    /// It is not there any more.
    Removed,
    /// It has other prefixes.
    Modified,
    /// It is new.
    Added,
}

/// What `after` changes, by name: all tags that are new, gone, or have other prefixes. At most `shown` prefixes of each
/// are listed, and none of one that is new.
pub fn tag_changes(
    before: &BTreeMap<String, FileTag>,
    after: &BTreeMap<String, FileTag>,
    shown: usize,
) -> Vec<ServiceTagChange> {
    let set = |tag: Option<&FileTag>| -> BTreeSet<String> {
        tag.map(|t| t.properties.address_prefixes.iter().cloned().collect()).unwrap_or_default()
    };
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |key: &String| {
        let (old, new) = (before.get(key), after.get(key));
        let (had, has) = (set(old), set(new));
        let change = match (old, new) {
            (Some(_), Some(_)) if had == has => return None,
            (Some(_), Some(_)) => TagChange::Modified,
            (Some(_), None) => TagChange::Removed,
            (None, _) => TagChange::Added,
        };
        let listed = if change == TagChange::Added { 0 } else { shown };
        let less = |a: &BTreeSet<String>, b: &BTreeSet<String>| -> (usize, Vec<String>) {
            (a.difference(b).count(), a.difference(b).take(listed).cloned().collect())
        };
        let ((added, added_prefixes), (removed, removed_prefixes)) = (less(&has, &had), less(&had, &has));
        let name = new.or(old).map(|tag| tag.name.clone()).unwrap_or_default();
        Some(ServiceTagChange { name, change, added, removed, added_prefixes, removed_prefixes })
    };
    keys.into_iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn file(values: Value) -> ServiceTagFile {
        serde_json::from_value(json!({"changeNumber": 63, "cloud": "Public", "values": values})).unwrap()
    }

    fn tag(name: &str, prefixes: &[&str]) -> Value {
        json!({"name": name, "id": name, "properties": {"changeNumber": "7", "region": "", "regionId": 0,
            "platform": "Azure", "systemService": "AzureStorage", "addressPrefixes": prefixes,
            "networkFeatures": ["API", "NSG"]}})
    }

    #[test]
    fn a_file_is_read_with_numbers_or_texts_as_versions_and_nothing_of_it_is_lost() {
        let (tags, reserved) = file(json!([
            tag("Storage.JapanEast", &["20.38.116.0/23", "2603:1040:400::/46"]),
            tag("internet", &["0.0.0.0/0"]),
        ]))
        .validate()
        .unwrap();
        assert_eq!(reserved, ["internet"], "no file says what the internet is");
        let shown = serde_json::to_value(&tags["storage.japaneast"]).unwrap();
        assert_eq!(shown, tag("Storage.JapanEast", &["20.38.116.0/23", "2603:1040:400::/46"]));
    }

    #[test]
    fn a_file_that_says_something_twice_or_nothing_is_refused_with_the_tag() {
        for (values, target) in [
            (json!([]), "properties.values"),
            (json!([tag("A", &[]), tag("a", &[])]), "properties.values[1]"),
            (json!([tag("10.0.0.1", &[])]), "properties.values[0]"),
            (
                json!([tag("A", &["10.0.0.0/8", "10.0.0.5/24"])]),
                "properties.values[0].properties.addressPrefixes[1]",
            ),
            (json!([tag("A", &["*"])]), "properties.values[0].properties.addressPrefixes[0]"),
        ] {
            let error = file(values).validate().unwrap_err();
            assert_eq!(
                (error.code.as_str(), error.target.as_deref()),
                ("InvalidServiceTagFile", Some(target))
            );
        }
    }

    proptest! {
        /// Applying what is told to what there was gives what there is.
        #[test]
        fn what_is_told_of_a_version_is_exactly_what_it_changes(
            before in prop::collection::btree_map("[a-c]", prop::collection::btree_set(0_u8..6, 0..4), 0..3),
            after in prop::collection::btree_map("[a-c]", prop::collection::btree_set(0_u8..6, 0..4), 0..3),
        ) {
            let tags = |of: &BTreeMap<String, BTreeSet<u8>>| -> BTreeMap<String, FileTag> {
                let prefix = |n: &u8| format!("10.0.{n}.0/24");
                let one = |(name, set): (&String, &BTreeSet<u8>)| {
                    let address_prefixes = set.iter().map(prefix).collect();
                    let properties = FileTagProperties { address_prefixes, ..FileTagProperties::default() };
                    (name.clone(), FileTag { name: name.clone(), id: name.clone(), properties })
                };
                of.iter().map(one).collect()
            };
            let (old, new) = (tags(&before), tags(&after));
            let told = tag_changes(&old, &new, 10);
            let mut made = old.clone();
            for change in &told {
                match change.change {
                    TagChange::Removed => drop(made.remove(&change.name)),
                    TagChange::Added => drop(made.insert(change.name.clone(), new[&change.name].clone())),
                    TagChange::Modified => {
                        let list = &mut made.get_mut(&change.name).unwrap().properties.address_prefixes;
                        list.retain(|p| !change.removed_prefixes.contains(p));
                        list.extend(change.added_prefixes.clone());
                        list.sort();
                        prop_assert_eq!(change.added, change.added_prefixes.len());
                    }
                }
            }
            prop_assert_eq!(made, new);
        }
    }
}
