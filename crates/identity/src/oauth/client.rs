//! Public clients: programs on people's own machines. They have no secret, so their id is only what they say of
//! themselves, and whoever lets one in is told so.

use uuid::{Uuid, uuid};

/// `az`, and what azure-identity uses unless told otherwise.
pub const AZURE_CLI: Uuid = uuid!("04b07795-8ddb-461a-bbee-02f9e1bf7b46");

/// `sekisho login`.
pub const SEKISHO: Uuid = uuid!("5e6b1c0e-0002-4000-8000-73656b697368");

/// An SSH client at the gate of the bastion, which shows a code to whoever has no key there.
pub const SSH: Uuid = uuid!("5e6b1c0e-0003-4000-8000-73656b697368");

/// Ours, and those that Microsoft ships with fixed ids.
const KNOWN: [(Uuid, &str); 6] = [
    (SEKISHO, "sekisho"),
    (SSH, "SSH"),
    (AZURE_CLI, "Azure CLI"),
    (uuid!("1950a258-227b-4e31-a9cf-717495945fc2"), "Azure PowerShell"),
    (uuid!("aebc6443-996d-45c2-90f0-388ff96faa56"), "Visual Studio Code"),
    (uuid!("872cd9fa-d31f-45e0-9eab-6e460a02d1f1"), "Visual Studio"),
];

/// What a known public client is called.
pub fn known(client: Uuid) -> Option<&'static str> {
    KNOWN.iter().find(|(id, _)| *id == client).map(|(_, name)| *name)
}
