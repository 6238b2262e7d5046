//! `identityProtection/riskyUsers`: whose account may be in somebody else's hands, and why. Policies of conditional access ask
//! for it (`userRiskLevels`); an administrator other than the person says that it is over.

use schemars::JsonSchema;
use sekisho_arm::ArmError;
use sekisho_arm::engine::Answer;
use sekisho_arm::resource::shown;
use sekisho_arm::traits::read_documents;
use sekisho_identity::Person;
use sekisho_identity::conditional_access::RiskLevel;
use sekisho_identity::oauth::timestamp;
use sekisho_identity::person::Suspicion;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Graph, READ, WRITE, bad, given};
use crate::signin::{kind, people};

/// Most people of a request.
const MOST: usize = 60;

/// People, by object id.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UserIds {
    user_ids: Vec<String>,
}

/// A person whose account is suspicious, as Graph shows it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RiskyUser {
    /// The person's object id.
    id: String,
    user_principal_name: String,
    user_display_name: String,
    risk_level: RiskLevel,
    /// `atRisk` or `confirmedCompromised`.
    risk_state: &'static str,
    risk_last_updated_date_time: String,
    /// What was seen.
    #[serde(rename = "sekisho.because")]
    because: Suspicion,
}

impl RiskyUser {
    fn of(person: Person) -> Option<RiskyUser> {
        let risk = person.risk?;
        Some(RiskyUser {
            id: person.id.to_string(),
            user_principal_name: person.user_principal_name,
            user_display_name: person.display_name,
            risk_level: risk.because.level(),
            risk_state: match risk.because {
                Suspicion::ConfirmedCompromised => "confirmedCompromised",
                Suspicion::TokenReused | Suspicion::PasskeyCopied => "atRisk",
            },
            risk_last_updated_date_time: timestamp(risk.at),
            because: risk.because,
        })
    }
}

/// What an administrator says of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Dismissed,
    Compromised,
}

impl Graph<'_> {
    pub(super) async fn risky_users(&self) -> Result<Vec<Value>, ArmError> {
        self.require(READ).await?;
        let all: Vec<(String, Person)> =
            read_documents(&mut self.app.store.read().await?, kind::PERSON).await?;
        all.into_iter().filter_map(|(_, person)| RiskyUser::of(person)).map(|row| shown(&row)).collect()
    }

    /// Whoever has somebody's account is not asked whether they do.
    pub(super) async fn say_of_users(&self, body: Value, said: Said) -> Result<Answer, ArmError> {
        let UserIds { user_ids } = given(&body)?;
        if user_ids.is_empty() || user_ids.len() > MOST {
            return Err(bad(format!("userIds names 1 to {MOST} people.")).target("userIds"));
        }
        let mut whom = Vec::with_capacity(user_ids.len());
        for id in &user_ids {
            let person = self.person(id).await?;
            if person.id == self.caller.principal {
                return Err(bad("Somebody else must say this of your account.").target("userIds"));
            }
            whom.push(person.id);
        }
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                let now = tx.now();
                for id in whom {
                    let Some(mut person) = people::by_id(tx.as_read(), id).await? else { continue };
                    match said {
                        Said::Dismissed => person.risk = None,
                        Said::Compromised => person.suspect(Suspicion::ConfirmedCompromised, now),
                    }
                    people::keep(tx, &person).await?;
                }
                Ok(())
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }
}
