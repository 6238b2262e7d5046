//! What changed between two sets of facts, for a person who reads a machine's history: packages, listening sockets,
//! accounts, interfaces and addresses, system, kernel and boots. Everything else, such as free memory, is not news.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Most things one summary names; how many more there were is counted.
const THINGS: usize = 50;
/// Most characters of a name or of what it stands for. A character is at most six bytes of JSON, so that a summary
/// stays below 64 KiB.
const TEXT: usize = 64;

/// Things by name; what they are is compared.
type Things = BTreeMap<String, String>;

/// How much room is left.
struct Room {
    left: usize,
    omitted: usize,
}

impl Room {
    fn take(&mut self) -> bool {
        if self.left == 0 {
            self.omitted += 1;
            return false;
        }
        self.left -= 1;
        true
    }
}

/// Summarises the change, or `None` when nothing that is news changed. The summary stays below 64 KiB.
pub fn summarize(before: &Value, after: &Value) -> Option<Value> {
    let mut room = Room { left: THINGS, omitted: 0 };
    let mut out = Map::new();
    for (name, at) in [
        ("os", "/os/prettyName"),
        ("kernel", "/kernel/release"),
        ("hostname", "/hostname"),
        ("boot", "/bootId"),
    ] {
        let (from, to) = (text(before.pointer(at)), text(after.pointer(at)));
        // What was not known before did not change.
        if from != to && !from.is_empty() {
            out.insert(name.to_owned(), json!({"from": from, "to": to}));
        }
    }
    let changed = |section: &str| before.get(section) != after.get(section);
    if changed("packages") && whole(before) && whole(after) {
        let of = |facts: &Value| things(facts.pointer("/packages/installed"));
        compare(&mut out, "packages", ("added", "removed", "upgraded"), &of(before), &of(after), &mut room);
    }
    if changed("sockets") {
        let (mut old, mut new) = (sockets(before), sockets(after));
        // Who listens cannot always be told; that alone is no change.
        for (socket, process) in &mut new {
            match old.get_mut(socket) {
                Some(known) if known.is_empty() => known.clone_from(process),
                Some(known) if process.is_empty() => process.clone_from(known),
                _ => {}
            }
        }
        compare(&mut out, "sockets", ("opened", "closed", "changed"), &old, &new, &mut room);
    }
    if changed("users") {
        let (old, new) = (listed(before, "users", user), listed(after, "users", user));
        compare(&mut out, "users", ("added", "removed", "changed"), &old, &new, &mut room);
    }
    if changed("nics") {
        let (old, new) = (listed(before, "nics", mac), listed(after, "nics", mac));
        compare(&mut out, "interfaces", ("added", "removed", "changed"), &old, &new, &mut room);
        let (old, new) = (addresses(before), addresses(after));
        compare(&mut out, "addresses", ("added", "removed", "changed"), &old, &new, &mut room);
    }
    if out.is_empty() {
        return None;
    }
    if room.omitted > 0 {
        out.insert("omitted".to_owned(), room.omitted.into());
    }
    Some(Value::Object(out))
}

/// Puts what is new, gone and different under `section`; each as an object from name to what it is, or to `from` and
/// `to`.
fn compare(
    out: &mut Map<String, Value>,
    section: &str,
    (added, removed, different): (&str, &str, &str),
    before: &Things,
    after: &Things,
    room: &mut Room,
) {
    let mut found: [(&str, Map<String, Value>); 3] =
        [(added, Map::new()), (removed, Map::new()), (different, Map::new())];
    let [news, gone, others] = &mut found;
    for (name, what) in after {
        match before.get(name) {
            None if room.take() => drop(news.1.insert(name.clone(), what.as_str().into())),
            Some(was) if was != what && room.take() => {
                others.1.insert(name.clone(), json!({"from": was, "to": what}));
            }
            _ => {}
        }
    }
    for (name, was) in before {
        if !after.contains_key(name) && room.take() {
            gone.1.insert(name.clone(), was.as_str().into());
        }
    }
    let found: Map<String, Value> = found
        .into_iter()
        .filter(|(_, things)| !things.is_empty())
        .map(|(name, things)| (name.to_owned(), Value::Object(things)))
        .collect();
    if !found.is_empty() {
        out.insert(section.to_owned(), Value::Object(found));
    }
}

fn text(value: Option<&Value>) -> String {
    cut(value.and_then(Value::as_str).unwrap_or_default())
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

/// A list of packages that could not be read whole tells nothing about what is not in it.
fn whole(facts: &Value) -> bool {
    let packages = &facts["packages"];
    packages["error"].is_null() && packages["installed"].as_object().is_some_and(|all| !all.is_empty())
}

fn things(object: Option<&Value>) -> Things {
    let all = object.and_then(Value::as_object).into_iter().flatten();
    all.map(|(name, what)| (cut(name), text(Some(what)))).collect()
}

fn items<'v>(facts: &'v Value, section: &str) -> impl Iterator<Item = &'v Value> {
    facts[section].as_array().into_iter().flatten()
}

fn listed(facts: &Value, section: &str, what: fn(&Value) -> String) -> Things {
    items(facts, section).map(|item| (text(item.get("name")), what(item))).collect()
}

fn user(user: &Value) -> String {
    cut(&format!("uid {}, shell {}", user["uid"].as_u64().unwrap_or_default(), text(user.get("shell"))))
}

fn mac(nic: &Value) -> String {
    text(nic.get("mac"))
}

/// Addresses to the interface that has them.
fn addresses(facts: &Value) -> Things {
    let of = |nic: &Value| {
        let name = text(nic.get("name"));
        let all: Vec<&Value> = nic["addresses"].as_array().into_iter().flatten().collect();
        all.into_iter().map(move |address| (text(Some(address)), name.clone())).collect::<Vec<_>>()
    };
    items(facts, "nics").flat_map(of).collect()
}

/// Sockets to the name of who listens.
fn sockets(facts: &Value) -> Things {
    let name = |socket: &Value| {
        let (protocol, address) = (text(socket.get("protocol")), text(socket.get("address")));
        let address = if address.contains(':') { format!("[{address}]") } else { address };
        cut(&format!("{protocol} {address}:{}", socket["port"].as_u64().unwrap_or_default()))
    };
    items(facts, "sockets").map(|s| (name(s), text(s.pointer("/process/name")))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts() -> Value {
        json!({
            "os": {"prettyName": "Debian 13"}, "kernel": {"release": "6.12.0"}, "hostname": "web", "bootId": "one",
            "memory": {"availableBytes": 1},
            "packages": {"manager": "dpkg", "installed": {"bash": "5.2", "nginx": "1.26"}},
            "sockets": [
                {"protocol": "tcp", "address": "0.0.0.0", "port": 22, "process": {"name": "sshd", "pid": 7}},
                {"protocol": "tcp", "address": "::", "port": 80, "process": null},
            ],
            "users": [{"name": "root", "uid": 0, "shell": "/bin/bash"}],
            "nics": [{"name": "eth0", "mac": "52:54:00:00:00:01", "addresses": ["10.0.0.1/24"]}],
        })
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Option<Value> {
        let mut after = facts();
        change(&mut after);
        summarize(&facts(), &after)
    }

    #[test]
    fn packages_that_came_went_or_were_upgraded_are_named_with_their_versions() {
        let told = changed(|f| f["packages"]["installed"] = json!({"bash": "5.3", "curl": "8.0"})).unwrap();
        let expected = json!({"packages": {
            "added": {"curl": "8.0"}, "removed": {"nginx": "1.26"},
            "upgraded": {"bash": {"from": "5.2", "to": "5.3"}},
        }});
        assert_eq!(told, expected);
    }

    #[test]
    fn a_list_of_packages_that_could_not_be_read_removes_none() {
        assert_eq!(changed(|f| f["packages"] = json!({"manager": "dpkg", "installed": {}})), None);
        assert_eq!(changed(|f| f["packages"] = json!({"installed": {"bash": "1"}, "error": "cut"})), None);
        assert_eq!(changed(|f| f["packages"] = Value::Null), None);
    }

    #[test]
    fn sockets_accounts_interfaces_and_addresses_are_told_by_name() {
        let told = changed(|f| {
            f["sockets"] = json!([
                {"protocol": "tcp", "address": "0.0.0.0", "port": 22, "process": {"name": "nc", "pid": 8}},
                {"protocol": "udp", "address": "::1", "port": 53, "process": {"name": "dns"}},
            ]);
            f["users"] = json!([{"name": "root", "uid": 0, "shell": "/bin/sh"}, {"name": "eve", "uid": 9}]);
            f["nics"] = json!([
                {"name": "eth0", "mac": "52:54:00:00:00:01", "addresses": ["10.0.0.2/24"]},
                {"name": "wg0", "mac": "", "addresses": []},
            ]);
        });
        let expected = json!({
            "sockets": {
                "opened": {"udp [::1]:53": "dns"}, "closed": {"tcp [::]:80": ""},
                "changed": {"tcp 0.0.0.0:22": {"from": "sshd", "to": "nc"}},
            },
            "users": {
                "added": {"eve": "uid 9, shell "},
                "changed": {"root": {"from": "uid 0, shell /bin/bash", "to": "uid 0, shell /bin/sh"}},
            },
            "interfaces": {"added": {"wg0": ""}},
            "addresses": {"added": {"10.0.0.2/24": "eth0"}, "removed": {"10.0.0.1/24": "eth0"}},
        });
        assert_eq!(told.unwrap(), expected);
    }

    #[test]
    fn a_boot_a_kernel_and_a_system_are_told_from_and_to() {
        let told = changed(|f| {
            f["bootId"] = "two".into();
            f["kernel"]["release"] = "6.13.0".into();
            f["os"]["prettyName"] = "Debian 14".into();
        });
        let expected = json!({
            "os": {"from": "Debian 13", "to": "Debian 14"}, "kernel": {"from": "6.12.0", "to": "6.13.0"},
            "boot": {"from": "one", "to": "two"},
        });
        assert_eq!(told.unwrap(), expected);
    }

    #[test]
    fn what_is_not_news_is_not_told() {
        assert_eq!(changed(|f| f["memory"]["availableBytes"] = 2.into()), None);
        assert_eq!(changed(|f| f["sockets"][0]["process"]["pid"] = 8.into()), None);
        assert_eq!(changed(|f| f["sockets"][1]["process"] = json!({"name": "nginx"})), None);
        assert_eq!(changed(|f| f["sockets"][0]["process"] = Value::Null), None);
        let mut unknown = facts();
        unknown["os"] = Value::Null;
        assert_eq!(summarize(&unknown, &facts()), None);
    }

    #[test]
    fn a_system_that_was_upgraded_whole_is_summed_up() {
        let many = |version: &str| -> Map<String, Value> {
            (0..2000).map(|n| (format!("package-{n}"), version.into())).collect()
        };
        let mut before = facts();
        before["packages"]["installed"] = Value::Object(many("1"));
        let mut after = facts();
        after["packages"]["installed"] = Value::Object(many("2"));
        let told = summarize(&before, &after).unwrap();
        assert_eq!(told["packages"]["upgraded"].as_object().unwrap().len(), THINGS);
        assert_eq!(told["omitted"], 2000 - THINGS);
    }

    #[test]
    fn the_longest_names_there_can_be_do_not_make_it_large() {
        let many = |version: &str| -> Value {
            let name = |n: i32| format!("{n:05}{}", "\u{1}".repeat(500));
            (0..500).map(|n| (name(n), version.into())).collect::<Map<_, _>>().into()
        };
        let facts = |version: &str| {
            json!({"hostname": version, "bootId": version, "os": {"prettyName": version},
                "kernel": {"release": version}, "packages": {"installed": many(version)}})
        };
        let told = summarize(&facts(&"\u{1}".repeat(500)), &facts(&"\u{2}".repeat(500))).unwrap();
        assert!(told.to_string().len() < 64 << 10, "{}", told.to_string().len());
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<u32>().prop_map(Value::from),
            ".{0,300}".prop_map(Value::from),
        ];
        let key = prop_oneof![
            prop::sample::select(vec!["name", "installed", "address", "addresses", "port", "process", "mac"])
                .prop_map(str::to_owned),
            ".{0,200}",
        ];
        leaf.prop_recursive(3, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((key.clone(), inner), 0..8)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_machine_says_the_summary_is_small_and_nothing_follows_from_nothing(
            before in prop::collection::vec(json_value(), 6),
            after in prop::collection::vec(json_value(), 6),
        ) {
            let sections = ["packages", "sockets", "users", "nics", "os", "bootId"];
            let facts = |values: Vec<Value>| -> Value {
                sections.iter().map(|s| (*s).to_owned()).zip(values).collect::<Map<_, _>>().into()
            };
            let (before, after) = (facts(before), facts(after));
            prop_assert_eq!(summarize(&before, &before), None);
            if let Some(told) = summarize(&before, &after) {
                prop_assert!(told.to_string().len() < 64 << 10);
            }
        }
    }
}
