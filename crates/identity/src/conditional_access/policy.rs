//! A policy that was understood: compiled from its wire shape, ready to be evaluated thousands of times a second.

use std::str::FromStr;

use time::Duration;
use uuid::Uuid;

use super::body::{
    Applications, ClientApplications, Conditions, GrantControls, LocationSet, OwnSession, Platforms,
    PolicyBody, SessionControls, SignInFrequency, Users,
};
use super::risk::RiskLevel;
use super::signals::{ClientApp, Flow, Platform};
use super::strength;

/// Longest name, in characters (Graph: 256).
pub const MAX_NAME: usize = 256;
/// How long "every time" still takes the last proof (Entra: 5 minutes).
pub const EVERY_TIME: Duration = Duration::minutes(5);

/// Why a policy cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct PolicyError {
    /// Which field, as a path.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

fn wrong<T>(field: &'static str, why: impl Into<String>) -> Result<T, PolicyError> {
    Err(PolicyError { field, why: why.into() })
}

/// Whether a policy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It holds.
    Enabled,
    /// It says what it would do.
    ReportOnly,
    /// It does not.
    Disabled,
}

impl State {
    /// Graph's word.
    pub fn word(self) -> &'static str {
        match self {
            State::Enabled => "enabled",
            State::ReportOnly => "enabledForReportingButNotEnforced",
            State::Disabled => "disabled",
        }
    }
}

impl FromStr for State {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        [State::Enabled, State::ReportOnly, State::Disabled]
            .into_iter()
            .find(|s| s.word() == text)
            .map_or_else(
                || wrong("state", "it is enabled, disabled or enabledForReportingButNotEnforced"),
                Ok,
            )
    }
}

/// A set of ids, or of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) all: bool,
    pub(super) ids: Vec<Uuid>,
}

impl Ids {
    pub(super) fn has(&self, id: Uuid) -> bool {
        self.all || self.ids.contains(&id)
    }

    pub(super) fn has_any(&self, ids: &[Uuid]) -> bool {
        self.all || ids.iter().any(|id| self.ids.contains(id))
    }
}

/// Roles, or whatever is privileged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) privileged: bool,
    pub(super) ids: Vec<Uuid>,
}

impl Roles {
    pub(super) fn has_any(&self, roles: &[Uuid], privileged: bool) -> bool {
        (self.privileged && privileged) || roles.iter().any(|r| self.ids.contains(r))
    }
}

/// Whom a policy is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whom {
    People {
        include: Ids,
        exclude: Ids,
        include_groups: Vec<Uuid>,
        exclude_groups: Vec<Uuid>,
        include_roles: Roles,
        exclude_roles: Roles,
    },
    Programs {
        include: Ids,
        exclude: Ids,
    },
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Applications { include: Ids, exclude: Ids },
    SecurityInfo,
    Contexts(Vec<String>),
}

/// From where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) all: bool,
    pub(super) trusted: bool,
    pub(super) ids: Vec<Uuid>,
}

/// One thing that satisfies a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Control {
    /// The strength of authentication.
    pub(super) strength: Uuid,
}

/// What must be proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grant {
    /// Nothing.
    Open,
    /// Nobody gets through.
    Block,
    /// All of them, or one.
    Require { all: bool, controls: Vec<Control> },
}

/// What holds for the session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) max_age: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) bound_to_address: bool,
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub(super) whom: Whom,
    pub(super) target: Target,
    /// Empty: all.
    pub(super) clients: Vec<ClientApp>,
    pub(super) platforms: Option<(Option<Vec<Platform>>, Vec<Platform>)>,
    pub(super) places: Option<(Places, Places)>,
    pub(super) sign_in_risk: Vec<RiskLevel>,
    pub(super) user_risk: Vec<RiskLevel>,
    pub(super) flows: Vec<Flow>,
    pub(super) grant: Grant,
    pub(super) session: Session,
}

/// A policy with what names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// Whether it holds.
    pub state: State,
    /// What it says.
    pub rules: Rules,
}

impl Policy {
    /// Understands a policy.
    ///
    /// # Errors
    /// [`PolicyError`]: a word that means nothing here, or a policy that says nothing.
    pub fn compile(id: Uuid, body: &PolicyBody) -> Result<Policy, PolicyError> {
        let name = body.display_name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            return wrong("displayName", format!("a name has 1 to {MAX_NAME} characters"));
        }
        Ok(Policy { id, name: name.to_owned(), state: body.state.parse()?, rules: Rules::compile(body)? })
    }
}

impl Rules {
    fn compile(body: &PolicyBody) -> Result<Rules, PolicyError> {
        let conditions = &body.conditions;
        let grant = grant(body.grant_controls.as_ref())?;
        let session = session(body.session_controls.as_ref())?;
        if grant == Grant::Open && session == Session::default() {
            return wrong("grantControls", "a policy blocks, asks for something, or limits the session");
        }
        let whom = whom(conditions)?;
        let strengthless = matches!(grant, Grant::Block) && session == Session::default();
        if matches!(whom, Whom::Programs { .. }) && !strengthless {
            return wrong("grantControls", "programs can only be blocked: they have nothing more to prove");
        }
        Ok(Rules {
            whom,
            target: target(conditions.applications.as_ref())?,
            clients: clients(&conditions.client_app_types)?,
            platforms: conditions.platforms.as_ref().map(platforms).transpose()?.flatten(),
            places: conditions.locations.as_ref().map(places).transpose()?.flatten(),
            sign_in_risk: risks("conditions.signInRiskLevels", &conditions.sign_in_risk_levels)?,
            user_risk: risks("conditions.userRiskLevels", &conditions.user_risk_levels)?,
            flows: flows(conditions)?,
            grant,
            session,
        })
    }

    /// The named locations that it refers to.
    pub fn locations(&self) -> impl Iterator<Item = Uuid> {
        let both = self.places.iter().flat_map(|(include, exclude)| include.ids.iter().chain(&exclude.ids));
        both.copied()
    }

    /// The strengths of authentication that it refers to.
    pub fn strengths(&self) -> impl Iterator<Item = Uuid> {
        let controls = match &self.grant {
            Grant::Require { controls, .. } => controls.as_slice(),
            Grant::Open | Grant::Block => &[],
        };
        controls.iter().map(|c| c.strength)
    }
}

fn id(field: &'static str, text: &str) -> Result<Uuid, PolicyError> {
    Uuid::try_parse(text).or_else(|_| wrong(field, format!("'{text}' is not an id")))
}

fn id_list(field: &'static str, words: &[String]) -> Result<Vec<Uuid>, PolicyError> {
    words.iter().map(|word| id(field, word)).collect()
}

/// Ids, where one word means everything and `None` nothing.
fn ids(field: &'static str, words: &[String], everything: &str) -> Result<Ids, PolicyError> {
    let mut out = Ids::default();
    for word in words {
        match word.as_str() {
            w if w.eq_ignore_ascii_case(everything) => out.all = true,
            w if w.eq_ignore_ascii_case("None") => {}
            w => out.ids.push(id(field, w)?),
        }
    }
    Ok(out)
}

fn roles(field: &'static str, words: &[String]) -> Result<Roles, PolicyError> {
    let mut out = Roles::default();
    for word in words {
        match word.as_str() {
            "Privileged" => out.privileged = true,
            w => out.ids.push(id(field, w)?),
        }
    }
    Ok(out)
}

fn whom(conditions: &Conditions) -> Result<Whom, PolicyError> {
    let programs = conditions.client_applications.as_ref().filter(|c| **c != ClientApplications::default());
    // Entra writes `includeUsers: ["None"]` beside programs.
    let nobody = |u: &Users| u.include_users.iter().all(|w| w == "None") && u.include_groups.is_empty();
    let people = conditions.users.as_ref();
    match (people, programs) {
        (Some(users), Some(_)) if !(nobody(users) && users.include_roles.is_empty()) => {
            wrong("conditions.clientApplications", "a policy is about people or about programs")
        }
        (_, Some(programs)) => {
            let field = "conditions.clientApplications.includeServicePrincipals";
            let include = ids(field, &programs.include_service_principals, "ServicePrincipalsInMyTenant")?;
            let exclude = id_list(field, &programs.exclude_service_principals)?;
            if include == Ids::default() {
                return wrong(field, "it names nobody");
            }
            Ok(Whom::Programs { include, exclude: Ids { all: false, ids: exclude } })
        }
        (Some(users), None) => {
            let field = "conditions.users.includeUsers";
            let include = ids(field, &users.include_users, "All")?;
            let include_groups = id_list("conditions.users.includeGroups", &users.include_groups)?;
            let include_roles = roles("conditions.users.includeRoles", &users.include_roles)?;
            let says_none = users.include_users.iter().any(|w| w.eq_ignore_ascii_case("None"));
            let names = include != Ids::default() || !include_groups.is_empty();
            if !names && include_roles == Roles::default() && !says_none {
                return wrong(field, "it names nobody; say None if that is meant");
            }
            Ok(Whom::People {
                include,
                exclude: Ids {
                    all: false,
                    ids: id_list("conditions.users.excludeUsers", &users.exclude_users)?,
                },
                include_groups,
                exclude_groups: id_list("conditions.users.excludeGroups", &users.exclude_groups)?,
                include_roles,
                exclude_roles: roles("conditions.users.excludeRoles", &users.exclude_roles)?,
            })
        }
        (None, None) => wrong("conditions.users", "it is missing"),
    }
}

fn target(applications: Option<&Applications>) -> Result<Target, PolicyError> {
    let field = "conditions.applications";
    let Some(given) = applications else { return wrong(field, "it is missing") };
    let actions = &given.include_user_actions;
    let contexts = &given.include_authentication_context_class_references;
    let include = ids("conditions.applications.includeApplications", &given.include_applications, "All")?;
    let exclude = id_list("conditions.applications.excludeApplications", &given.exclude_applications)?;
    let says_none = given.include_applications.iter().any(|w| w.eq_ignore_ascii_case("None"));
    let some = include != Ids::default();
    match (some, actions.as_slice(), contexts.as_slice()) {
        (_, [], []) if some || says_none => {
            Ok(Target::Applications { include, exclude: Ids { all: false, ids: exclude } })
        }
        (false, [action], []) if action.eq_ignore_ascii_case("urn:user:registersecurityinfo") => {
            Ok(Target::SecurityInfo)
        }
        (false, [_, ..], []) => wrong(field, "the only user action is urn:user:registersecurityinfo"),
        (false, [], [_, ..]) => {
            let named = |c: &&String| {
                c.strip_prefix('c').and_then(|n| n.parse::<u8>().ok()).is_none_or(|n| !(1..=99).contains(&n))
            };
            match contexts.iter().find(named) {
                Some(bad) => wrong(field, format!("'{bad}' is not one of c1 to c99")),
                None => Ok(Target::Contexts(contexts.clone())),
            }
        }
        (false, [], []) => wrong(field, "it names nothing"),
        _ => wrong(field, "it names applications, or an action, or contexts"),
    }
}

fn clients(words: &[String]) -> Result<Vec<ClientApp>, PolicyError> {
    let mut out = Vec::new();
    for word in words {
        match word.to_ascii_lowercase().as_str() {
            "all" => return Ok(Vec::new()),
            "browser" => out.push(ClientApp::Browser),
            "mobileappsanddesktopclients" => out.push(ClientApp::MobileAppsAndDesktopClients),
            "exchangeactivesync" | "other" | "eassupported" => out.push(ClientApp::Other),
            _ => return wrong("conditions.clientAppTypes", format!("'{word}' is not a kind of client")),
        }
    }
    Ok(out)
}

/// Included, `None` for all, and excluded.
type PlatformSets = Option<(Option<Vec<Platform>>, Vec<Platform>)>;

fn platforms(given: &Platforms) -> Result<PlatformSets, PolicyError> {
    let field = "conditions.platforms";
    let read = |words: &[String]| {
        let one = |w: &String| {
            Platform::parse(w).map_or_else(|| wrong(field, format!("'{w}' is not a platform")), Ok)
        };
        words.iter().map(one).collect::<Result<Vec<_>, _>>()
    };
    if given.include_platforms.is_empty() {
        return if given.exclude_platforms.is_empty() {
            Ok(None)
        } else {
            wrong(field, "it includes nothing")
        };
    }
    let all = given.include_platforms.iter().any(|w| w.eq_ignore_ascii_case("all"));
    let include = if all { None } else { Some(read(&given.include_platforms)?) };
    Ok(Some((include, read(&given.exclude_platforms)?)))
}

fn places(given: &LocationSet) -> Result<Option<(Places, Places)>, PolicyError> {
    let field = "conditions.locations";
    let read = |words: &[String]| {
        let mut out = Places::default();
        for word in words {
            match word.as_str() {
                w if w.eq_ignore_ascii_case("All") => out.all = true,
                w if w.eq_ignore_ascii_case("AllTrusted") => out.trusted = true,
                w => out.ids.push(id(field, w)?),
            }
        }
        Ok::<_, PolicyError>(out)
    };
    let (include, exclude) = (read(&given.include_locations)?, read(&given.exclude_locations)?);
    match (include == Places::default(), exclude == Places::default()) {
        (true, true) => Ok(None),
        (true, false) => wrong(field, "it includes nothing"),
        _ if exclude.all => wrong(field, "what excludes All applies nowhere"),
        _ => Ok(Some((include, exclude))),
    }
}

fn risks(field: &'static str, words: &[String]) -> Result<Vec<RiskLevel>, PolicyError> {
    let one =
        |w: &String| RiskLevel::parse(w).map_or_else(|| wrong(field, format!("'{w}' is not a level")), Ok);
    words.iter().map(one).collect()
}

fn flows(conditions: &Conditions) -> Result<Vec<Flow>, PolicyError> {
    let methods = conditions.authentication_flows.as_ref().and_then(|f| f.transfer_methods.as_deref());
    let mut out = Vec::new();
    for word in
        methods.unwrap_or_default().split(',').map(str::trim).filter(|w| !w.is_empty() && *w != "none")
    {
        match word {
            w if w.eq_ignore_ascii_case("deviceCodeFlow") => out.push(Flow::DeviceCode),
            w => return wrong("conditions.authenticationFlows", format!("'{w}' does not exist here")),
        }
    }
    Ok(out)
}

fn grant(given: Option<&GrantControls>) -> Result<Grant, PolicyError> {
    let Some(given) = given else { return Ok(Grant::Open) };
    let field = "grantControls";
    let mut controls = Vec::new();
    let mut block = false;
    for word in &given.built_in_controls {
        match word.as_str() {
            "block" => block = true,
            "mfa" => controls.push(Control { strength: strength::MULTIFACTOR }),
            w => return wrong("grantControls.builtInControls", format!("'{w}' does not exist here")),
        }
    }
    if let Some(reference) = &given.authentication_strength {
        controls.push(Control { strength: id("grantControls.authenticationStrength", &reference.id)? });
    }
    let all = match given.operator.to_ascii_uppercase().as_str() {
        "AND" => true,
        "OR" => false,
        // With one control both mean the same.
        "" if controls.len() + usize::from(block) <= 1 => true,
        _ => return wrong("grantControls.operator", "it is AND or OR"),
    };
    match (block, controls.is_empty()) {
        (true, true) => Ok(Grant::Block),
        (true, false) => wrong(field, "what blocks asks for nothing"),
        (false, true) => Ok(Grant::Open),
        (false, false) => Ok(Grant::Require { all, controls }),
    }
}

fn session(given: Option<&SessionControls>) -> Result<Session, PolicyError> {
    let Some(given) = given else { return Ok(Session::default()) };
    if let Some(browser) = given.persistent_browser.as_ref().filter(|b| b.is_enabled)
        && browser.mode.as_deref() != Some("never")
    {
        return wrong(
            "sessionControls.persistentBrowser",
            "sessions end with the browser: only never is possible",
        );
    }
    let own = given.sekisho.clone().unwrap_or_default();
    let OwnSession { idle_minutes, bound_to_address } = own;
    if idle_minutes.is_some_and(|m| !(1..=30).contains(&m)) {
        return wrong("sessionControls.sekisho.idleMinutes", "it is 1 to 30");
    }
    Ok(Session {
        max_age: given.sign_in_frequency.as_ref().filter(|f| f.is_enabled).map(frequency).transpose()?,
        idle: idle_minutes.map(|m| Duration::minutes(i64::from(m))),
        bound_to_address,
    })
}

fn frequency(given: &SignInFrequency) -> Result<Duration, PolicyError> {
    let field = "sessionControls.signInFrequency";
    let every_time = given.frequency_interval.as_deref().is_some_and(|i| i.eq_ignore_ascii_case("everyTime"));
    match (every_time, given.value, given.unit.as_deref()) {
        (true, _, _) => Ok(EVERY_TIME),
        (false, Some(value @ 1..=23), Some("hours")) => Ok(Duration::hours(i64::from(value))),
        (false, Some(value @ 1..=365), Some("days")) => Ok(Duration::days(i64::from(value))),
        _ => wrong(field, "it is 1 to 23 hours, 1 to 365 days, or everyTime"),
    }
}
