//! Hosts near machines (Azure's IP-based connection): to which of them which machine leads, as agents tell of it.

use async_trait::async_trait;
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Read, Resource, Scope, StoreError, Write};
use sekisho_link::facts::Facts;
use sekisho_link::machine::FactsObserver;
use sekisho_link::reach::Reach;

/// The kind of the documents, by the machine's key.
pub const KIND: &str = "machineReach";

/// Keeps what agents tell of hosts near their machines.
pub struct Observer;

#[async_trait]
impl FactsObserver for Observer {
    async fn observe(&self, tx: &mut dyn Write, machine: &Resource, facts: &Facts) -> Result<(), ArmError> {
        let key = machine.id.key();
        let kept = of(tx.as_read(), &machine.id).await?;
        if kept == facts.reach {
            return Ok(());
        }
        match facts.reach.is_empty() {
            true => drop(tx.remove_document(KIND, &key).await?),
            false => write_document(tx, KIND, &key, &facts.reach).await?,
        }
        Ok(())
    }

    async fn retire(&self, tx: &mut dyn Write, machine: &Resource) -> Result<(), ArmError> {
        tx.remove_document(KIND, &machine.id.key()).await?;
        Ok(())
    }
}

/// Where a machine leads.
///
/// # Errors
/// Those of the database.
pub async fn of(read: &mut (dyn Read + '_), machine: &Scope) -> Result<Vec<Reach>, StoreError> {
    Ok(read_document(read, KIND, &machine.key()).await?.unwrap_or_default())
}

/// All machines that lead anywhere, by their keys.
///
/// # Errors
/// Those of the database.
pub async fn all(read: &mut (dyn Read + '_)) -> Result<Vec<(String, Vec<Reach>)>, StoreError> {
    read_documents(read, KIND).await
}
