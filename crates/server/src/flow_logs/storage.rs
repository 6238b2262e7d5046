//! Where storage accounts are: a directory of the server for each, or what the file `storage_accounts_file` says of it, by the
//! account's name.
//!
//! ```toml
//! [st1]
//! place = "/srv/flowlogs"         # a directory, or s3://bucket/path, or az:// with the containers of an Azure account
//! [st1.options]
//! aws_region = "eu-west-1"        # as of the lake
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use sekisho_lake::{LakeError, Place};
use serde::Deserialize;

use crate::config::{Config, ConfigError};

/// A storage account cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// The file does not say where.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The place cannot be opened.
    #[error(transparent)]
    Place(#[from] LakeError),
}

/// What the file says of an account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    place: String,
    #[serde(default)]
    options: BTreeMap<String, String>,
}

/// The place of all containers of an account in Azure.
const AZURE: &str = "az://";

/// Opens a container of an account. In Azure it must be there; elsewhere it is a folder.
pub(crate) fn open(
    config: &Config,
    account: &str,
    container: &str,
) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let kept = match &config.storage_accounts_file {
        None => None,
        Some(path) => accounts(path)?.remove(account),
    };
    let Some(Account { place, options }) = kept else {
        let own = Place::Directory(config.data_dir.join("storage").join(account));
        return Ok(within(own.open_whole(&BTreeMap::new())?, container));
    };
    if place == AZURE {
        return Ok(Place::parse(&format!("{AZURE}{container}"))?.open_whole(&options)?);
    }
    Ok(within(Place::parse(&place)?.open_whole(&options)?, container))
}

fn within(objects: Arc<dyn ObjectStore>, container: &str) -> Arc<dyn ObjectStore> {
    Arc::new(PrefixStore::new(objects, Path::from(container)))
}

/// The accounts of the file. The error does not repeat what stands in it: there are keys among it.
fn accounts(path: &PathBuf) -> Result<BTreeMap<String, Account>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.clone(), e))?;
    let expected = "for each storage account a table with its place, and one with its options, is expected";
    toml::from_str(&text).map_err(|_| ConfigError::Parse(path.clone(), expected.to_owned()))
}
