//! Which user of a machine somebody may have made more than it is, or may ask to log in as. It is the account that they log
//! in to through a bastion: their own, for whoever may log in; any other one, and what a policy offers, for whoever may log
//! in as an administrator.

use sekisho_arm::{ArmError, Call, Scope, Write};
use sekisho_bastion::provider::LOGIN_RIGHTS;
use sekisho_jit::elevation::UnixName;
use sekisho_link::account::Account;

use crate::resources::authorization::{self, LateUniverse};

fn denied(call: &Call, machine: &Scope, what: &str, right: &str) -> ArmError {
    let text = format!(
        "The client '{}' may not {what} on '{machine}': that needs the data action '{right}'.",
        call.caller.name
    );
    ArmError::new(403, "AuthorizationFailed", text)
}

/// Refuses whoever lets others ask for more than they may do themselves.
///
/// # Errors
/// 403.
pub(super) async fn may_offer(
    tx: &mut (dyn Write + '_),
    call: &Call,
    universe: &LateUniverse,
    machines: impl Iterator<Item = &Scope>,
) -> Result<(), ArmError> {
    let all = authorization::snapshot(tx.as_read(), universe).await?;
    let who = authorization::acting(call);
    for machine in machines {
        if !all.decide(&who, LOGIN_RIGHTS[1], machine).is_allowed() {
            return Err(denied(call, machine, "let anybody ask for sudo or an account", LOGIN_RIGHTS[1]));
        }
    }
    Ok(())
}

/// The user of whoever asks, or the one that they name.
///
/// # Errors
/// 400 when there is none; 403 when it is not for them.
pub(super) async fn of(
    tx: &mut (dyn Write + '_),
    call: &Call,
    universe: &LateUniverse,
    (machine, named, at): (&Scope, Option<&str>, &str),
) -> Result<UnixName, ArmError> {
    let own = Account::of_person(&call.caller.name).ok().and_then(|own| UnixName::try_from(&own).ok());
    let wrong = |text: String| ArmError::invalid_content(text).target(format!("{at}.sekisho.user"));
    let user = match named {
        Some(text) => {
            text.parse().map_err(|why| wrong(format!("The request content is not valid: {why}.")))?
        }
        None => {
            own.clone().ok_or_else(|| wrong("Your name says nothing of an account: name one.".to_owned()))?
        }
    };
    let all = authorization::snapshot(tx.as_read(), universe).await?;
    let who = authorization::acting(call);
    let may = |right: &str| all.decide(&who, right, machine).is_allowed();
    if may(LOGIN_RIGHTS[1]) || (own.as_ref() == Some(&user) && may(LOGIN_RIGHTS[0])) {
        return Ok(user);
    }
    let right = if own.as_ref() == Some(&user) { LOGIN_RIGHTS[0] } else { LOGIN_RIGHTS[1] };
    Err(denied(call, machine, &format!("be given anything as '{user}'"), right))
}
