//! What is known of a request before it is decided: who asks, for what, with what, from where.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::location::Country;
use super::risk::RiskLevel;

/// Applications that a policy can name. A request is for one or more of them: the portal's requests are for the portal
/// and the API, those of `az` for `az` and the API.
pub mod application {
    use uuid::Uuid;

    /// Everything under ARM and Graph, whoever asks (Azure's "Windows Azure Service Management API").
    pub const API: Uuid = Uuid::from_u128(0x797f4846_ba00_4fd7_ba71_dba1f016de18);
    /// The portal (Azure's).
    pub const PORTAL: Uuid = Uuid::from_u128(0xc44b4083_3bb0_49c1_b47d_974e53cbdf3c);
    /// `az` (Azure's).
    pub const AZ: Uuid = Uuid::from_u128(0x04b07795_8ddb_461a_bbee_02f9e1bf7b46);
    /// Sessions on machines through the bastion.
    pub const BASTION: Uuid = Uuid::from_u128(0x79d7fb34_4bef_4417_8184_ff713af7a679);
    /// What machines themselves ask.
    pub const AGENTS: Uuid = Uuid::from_u128(0x5e6b1c0e_0001_4000_8000_73656b697368);
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Subject {
    /// A person.
    #[serde(rename_all = "camelCase")]
    Person {
        /// The object id.
        id: Uuid,
        /// The groups they are in, through others too.
        groups: Vec<Uuid>,
        /// Groups that they may be in, because nobody can read who is: a policy that is about one of them is about them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        possible_groups: Vec<Uuid>,
        /// The role definitions that they hold anywhere, through groups too.
        roles: Vec<Uuid>,
        /// Whether one of those grants roles or logs in to machines.
        privileged: bool,
        /// Whether no policy holds for them.
        break_glass: bool,
    },
    /// A service principal.
    Program {
        /// The object id.
        id: Uuid,
    },
}

/// What kind of client asks (Graph's `clientAppTypes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientApp {
    /// The portal in a browser.
    Browser,
    /// `az`, the SDKs, programs.
    MobileAppsAndDesktopClients,
    /// Nothing that could answer a challenge.
    Other,
}

/// The system that a client runs on, as it says. It can be forged: a policy by platform keeps honest people out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Platform {
    /// Android.
    Android,
    /// iOS and iPadOS.
    #[serde(rename = "iOS")]
    Ios,
    /// Windows.
    Windows,
    /// Windows Phone.
    WindowsPhone,
    /// macOS.
    #[serde(rename = "macOS")]
    MacOs,
    /// Linux.
    Linux,
}

impl Platform {
    /// All of them with Graph's words.
    pub const ALL: [(&'static str, Platform); 6] = [
        ("android", Platform::Android),
        ("iOS", Platform::Ios),
        ("windows", Platform::Windows),
        ("windowsPhone", Platform::WindowsPhone),
        ("macOS", Platform::MacOs),
        ("linux", Platform::Linux),
    ];

    /// Reads Graph's word.
    pub fn parse(text: &str) -> Option<Platform> {
        Self::ALL.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, platform)| *platform)
    }

    /// What a `User-Agent` says. Browsers on Android name Linux, those on iPads name the Mac, too.
    pub fn of_agent(agent: &str) -> Option<Platform> {
        const MARKS: [(&str, Platform); 9] = [
            ("Windows Phone", Platform::WindowsPhone),
            ("Android", Platform::Android),
            ("iPhone", Platform::Ios),
            ("iPad", Platform::Ios),
            ("Windows", Platform::Windows),
            ("Mac OS", Platform::MacOs),
            ("macOS", Platform::MacOs),
            ("Darwin", Platform::MacOs),
            ("Linux", Platform::Linux),
        ];
        MARKS.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, platform)| *platform)
    }
}

/// How the sign-in that stands behind a request was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Flow {
    /// In one place.
    #[default]
    Direct,
    /// A code shown on one device and typed on another.
    DeviceCode,
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signals {
    /// Who asks.
    pub subject: Subject,
    /// What it is for: see [`application`].
    pub applications: Vec<Uuid>,
    /// Whether it changes what somebody signs in with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub registers_security_info: bool,
    /// The authentication context that it asks for, such as `c1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// What kind of client asks.
    pub client: ClientApp,
    /// On which system; unknown when it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// From where.
    pub address: IpAddr,
    /// In which country that is; unknown without a database of countries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
    /// How the sign-in was made.
    #[serde(default)]
    pub flow: Flow,
    /// How strange the sign-in looked.
    #[serde(default)]
    pub sign_in_risk: RiskLevel,
    /// How likely the account is somebody else's.
    #[serde(default)]
    pub user_risk: RiskLevel,
}
