//! `Microsoft.Network/bastionHosts` in Azure's JSON shape (source: the network specification, api-version 2024-01-01;
//! `networkAcls` from 2024-03-01), and what it allows.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_arm::{ArmError, Resource, Scope};
use sekisho_link::reach::Ports;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The provider namespace.
pub const NAMESPACE: &str = "Microsoft.Network";
/// The type path.
pub const TYPE: &str = "bastionHosts";
/// Azure's range of scale units. Kept; one server serves as many sessions as it can.
const SCALE_UNITS: std::ops::RangeInclusive<u32> = 2..=50;
/// The longest session, in minutes: a working day.
pub const LONGEST_MINUTES: u32 = 12 * 60;
/// Ids of hosts in addresses are made of their ARM ids under this name.
const PLACES: Uuid = Uuid::from_u128(0x0b3c_9a1e_5d0f_4f5e_9d43_6261_7374_696f);

/// A bastion host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BastionHost {
    /// How much it can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku: Option<BastionSku>,
    /// Its settings.
    pub properties: BastionHostProperties,
    /// What is not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How much a bastion host can do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BastionSku {
    /// `Developer`, `Basic`, `Standard` or `Premium`.
    pub name: Option<Sku>,
}

/// Azure's sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Sku {
    /// One machine at a time.
    Developer,
    /// The browser only.
    Basic,
    /// Native clients, too.
    #[default]
    Standard,
    /// Recordings, too.
    Premium,
}

/// The settings of a bastion host. What is not there is off.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BastionHostProperties {
    /// Its address; the server fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_name: Option<String>,
    /// 2 to 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_units: Option<u32>,
    /// No copying and pasting in the browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_copy_paste: Option<bool>,
    /// Files: in the browser, and of SSH clients by SFTP, scp and rsync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_file_copy: Option<bool>,
    /// Hosts near a machine, by address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_ip_connect: Option<bool>,
    /// Links that can be given away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_shareable_link: Option<bool>,
    /// Native clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_tunneling: Option<bool>,
    /// Kerberos for RDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_kerberos: Option<bool>,
    /// Recordings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_session_recording: Option<bool>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_configurations: Option<Vec<IpConfiguration>>,
    /// Where a `Developer` one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_network: Option<Reference>,
    /// From where sessions may come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_acls: Option<NetworkAcls>,
    /// What Azure has no words for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sekisho: Option<Limits>,
    /// What is not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What sessions may do and how long they may last. What is not there is not limited, but by what holds for
/// every session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// The longest session, in minutes; 720 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_minutes: Option<u32>,
    /// A session in which nobody types ends after so many minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_minutes: Option<u32>,
    /// Sessions on machines that one person may have at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_per_person: Option<u32>,
    /// No files to machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_upload: Option<bool>,
    /// No files from machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_download: Option<bool>,
    /// The largest file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_file_bytes: Option<u64>,
    /// What is kept of sessions: `off`, `metadata`, `full`. Without it `full` when `enableSessionRecording` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<Recording>,
    /// The same of sessions that may do everything on a machine, where that is more than of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub administrator_recording: Option<Recording>,
    /// The ports to which tunnels lead, each such as `22` or `8000-8100`; to any without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_ports: Option<Vec<Ports>>,
}

/// What is kept of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Recording {
    /// That it was.
    #[default]
    Off,
    /// That it was, and the sizes and programs of it.
    Metadata,
    /// All that was on the screen. A session that cannot be recorded ends.
    Full,
}

impl Recording {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Recording::Off => "off",
            Recording::Metadata => "metadata",
            Recording::Full => "full",
        }
    }
}

/// Where a bastion host is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct IpConfiguration {
    /// Its name.
    pub name: Option<String>,
    /// The rest.
    pub properties: IpConfigurationProperties,
    /// What is not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Where a bastion host is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct IpConfigurationProperties {
    /// The subnet.
    pub subnet: Option<Reference>,
    /// What is not known here, such as the public address, which nobody needs here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The id of another resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Reference {
    /// The id.
    pub id: String,
}

/// From where sessions may come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkAcls {
    /// Networks. None: from anywhere.
    pub ip_rules: Vec<IpRule>,
}

/// A network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IpRule {
    /// An address or CIDR.
    pub address_prefix: String,
}

/// An address or a CIDR.
pub fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

impl BastionHost {
    /// As it is kept.
    ///
    /// # Errors
    /// 400 when it has another shape.
    pub fn of(resource: &Resource) -> Result<BastionHost, ArmError> {
        sekisho_arm::resource::typed(&Value::Object(resource.rest.clone()), "")
    }

    /// Checks what a client sent.
    ///
    /// # Errors
    /// 400 with the field.
    pub fn validate(&self) -> Result<(), ArmError> {
        let refused = |field: &str, text: String| {
            Err(ArmError::bad("InvalidRequestFormat", text).target(format!("properties.{field}")))
        };
        let p = &self.properties;
        if let Some(units) = p.scale_units.filter(|units| !SCALE_UNITS.contains(units)) {
            return refused("scaleUnits", format!("{units} scale units: 2 to 50 are possible."));
        }
        for (at, rule) in p.network_acls.iter().flat_map(|acls| &acls.ip_rules).enumerate() {
            if network(&rule.address_prefix).is_none() {
                let shown: String = rule.address_prefix.chars().take(60).collect();
                let field = format!("networkAcls.ipRules[{at}].addressPrefix");
                return refused(&field, format!("'{shown}' is neither an address nor a CIDR."));
            }
        }
        let limits = self.limits();
        if limits.maximum_minutes.is_some_and(|m| m == 0 || m > LONGEST_MINUTES) {
            let text = format!("A session may last 1 to {LONGEST_MINUTES} minutes.");
            return refused("sekisho.maximumMinutes", text);
        }
        if limits.idle_minutes == Some(0) || limits.sessions_per_person == Some(0) {
            return refused("sekisho", "'idleMinutes' and 'sessionsPerPerson' are at least 1.".to_owned());
        }
        for (field, on, least) in [
            ("enableTunneling", p.enable_tunneling, Sku::Standard),
            ("enableIpConnect", p.enable_ip_connect, Sku::Standard),
            ("enableShareableLink", p.enable_shareable_link, Sku::Standard),
            ("enableFileCopy", p.enable_file_copy, Sku::Standard),
            ("disableCopyPaste", p.disable_copy_paste, Sku::Standard),
            ("enableSessionRecording", p.enable_session_recording, Sku::Premium),
        ] {
            if on == Some(true) && self.sku() < least {
                let text = format!("'{field}' needs the SKU {least:?}; this is {:?}.", self.sku());
                return refused(field, text);
            }
        }
        Ok(())
    }

    /// Its size.
    pub fn sku(&self) -> Sku {
        self.sku.as_ref().and_then(|sku| sku.name).unwrap_or_default()
    }

    /// Whether native clients may use it.
    pub fn tunnels(&self) -> bool {
        self.sku() >= Sku::Standard && self.properties.enable_tunneling == Some(true)
    }

    /// Whether it leads to hosts near machines.
    pub fn leads_by_address(&self) -> bool {
        self.sku() >= Sku::Standard && self.properties.enable_ip_connect == Some(true)
    }

    /// Whether links may lend logins through it.
    pub fn shares(&self) -> bool {
        self.sku() >= Sku::Standard && self.properties.enable_shareable_link == Some(true)
    }

    /// What sessions may do and how long.
    pub fn limits(&self) -> Limits {
        self.properties.sekisho.clone().unwrap_or_default()
    }

    /// The longest session on a machine, in minutes.
    pub fn longest(&self) -> u32 {
        self.limits().maximum_minutes.unwrap_or(LONGEST_MINUTES)
    }

    /// After how long without typing a session on a machine ends.
    pub fn idle(&self) -> Option<Duration> {
        self.limits().idle_minutes.map(|minutes| Duration::from_secs(u64::from(minutes) * 60))
    }

    /// What is kept of sessions, those of administrators or of others.
    pub fn recording(&self, administrator: bool) -> Recording {
        let wanted = self.properties.enable_session_recording == Some(true);
        let limits = self.limits();
        let usual = limits.recording.unwrap_or(if wanted { Recording::Full } else { Recording::Off });
        limits.administrator_recording.filter(|_| administrator).map_or(usual, |more| usual.max(more))
    }

    /// Whether tunnels lead to a port.
    pub fn tunnels_to(&self, port: u16) -> bool {
        self.limits().tunnel_ports.is_none_or(|all| all.iter().any(|ports| ports.contains(port)))
    }

    /// Whether what is on a screen may be copied, and something pasted.
    pub fn copies(&self) -> bool {
        self.properties.disable_copy_paste != Some(true)
    }

    /// Whether files may be sent to machines, and taken from them.
    pub fn files(&self) -> (bool, bool) {
        let on = self.sku() >= Sku::Standard && self.properties.enable_file_copy == Some(true);
        let limits = self.limits();
        (on && limits.disable_upload != Some(true), on && limits.disable_download != Some(true))
    }

    /// Whether a session may come from an address.
    pub fn admits(&self, address: IpAddr) -> bool {
        let rules = self.properties.network_acls.as_ref().map_or(&[][..], |acls| &acls.ip_rules);
        rules.is_empty()
            || rules.iter().filter_map(|r| network(&r.address_prefix)).any(|net| net.contains(&address))
    }

    /// The virtual networks that it is in.
    pub fn networks(&self) -> Vec<Scope> {
        let p = &self.properties;
        let subnets = p.ip_configurations.iter().flatten().filter_map(|c| c.properties.subnet.as_ref());
        let of_subnets = subnets.filter_map(|s| Scope::parse(&s.id).ok()?.parent());
        let own = p.virtual_network.iter().filter_map(|n| Scope::parse(&n.id).ok());
        of_subnets.chain(own).collect()
    }
}

/// What a host is called in addresses, the same for ever. No secret: whoever asks there must show who they are.
pub fn place(id: &Scope) -> Uuid {
    Uuid::new_v5(&PLACES, id.key().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn host(body: Value) -> BastionHost {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn a_host_admits_only_the_networks_it_names_and_everybody_when_it_names_none() {
        let open = host(json!({"properties": {"networkAcls": {"ipRules": []}}}));
        assert!(open.admits([203, 0, 113, 9].into()));
        let rules = json!([{"addressPrefix": "203.0.113.0/24"}, {"addressPrefix": "2001:db8::7"}]);
        let closed = host(json!({"properties": {"networkAcls": {"ipRules": rules}}}));
        assert!(closed.validate().is_ok());
        assert!(closed.admits([203, 0, 113, 9].into()) && closed.admits("2001:db8::7".parse().unwrap()));
        assert!(!closed.admits([203, 0, 114, 9].into()) && !closed.admits("2001:db8::8".parse().unwrap()));
        // A rule that cannot be read admits nobody, and is refused when it is written.
        let broken = host(json!({"properties": {"networkAcls": {"ipRules": [{"addressPrefix": "home"}]}}}));
        assert!(broken.validate().is_err() && !broken.admits([203, 0, 113, 9].into()));
    }

    #[test]
    fn what_a_sku_does_not_have_is_refused_and_off() {
        let basic = host(json!({"sku": {"name": "Basic"}, "properties": {"enableTunneling": true}}));
        assert!(basic.validate().is_err() && !basic.tunnels());
        let standard = host(json!({"sku": {"name": "Standard"}, "properties": {"enableTunneling": true}}));
        assert!(standard.validate().is_ok() && standard.tunnels());
        assert!(!host(json!({"sku": {"name": "Premium"}, "properties": {}})).tunnels());
        let copies = |sku: &str| {
            let limits = json!({"disableUpload": true});
            host(json!({"sku": {"name": sku}, "properties": {"enableFileCopy": true, "sekisho": limits}}))
        };
        assert!(copies("Basic").validate().is_err() && copies("Basic").files() == (false, false));
        assert!(copies("Standard").validate().is_ok() && copies("Standard").files() == (false, true));
        assert!(host(json!({"properties": {"scaleUnits": 51}})).validate().is_err());
    }

    #[test]
    fn tunnels_lead_to_the_ports_that_are_named_and_to_none_where_none_is() {
        let ports = |ports: Value| host(json!({"properties": {"sekisho": {"tunnelPorts": ports}}}));
        let named = ports(json!(["22", "8000-8100"]));
        assert!([22, 8000, 8100].into_iter().all(|port| named.tunnels_to(port)));
        assert!(![21, 23, 7999, 8101].into_iter().any(|port| named.tunnels_to(port)));
        assert!(!ports(json!([])).tunnels_to(22) && host(json!({})).tunnels_to(22));
        let broken = json!({"properties": {"sekisho": {"tunnelPorts": ["ssh"]}}});
        assert!(serde_json::from_value::<BastionHost>(broken).is_err());
    }

    #[test]
    fn of_administrators_at_least_as_much_is_kept_as_of_others() {
        let kept = |limits: Value| {
            let host = host(json!({"properties": {"sekisho": limits}}));
            (host.recording(false).word(), host.recording(true).word())
        };
        assert_eq!(kept(json!({})), ("off", "off"));
        assert_eq!(kept(json!({"administratorRecording": "full"})), ("off", "full"));
        assert_eq!(
            kept(json!({"recording": "metadata", "administratorRecording": "full"})),
            ("metadata", "full")
        );
        assert_eq!(kept(json!({"recording": "full", "administratorRecording": "off"})), ("full", "full"));
    }
}
