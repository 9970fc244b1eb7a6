//! After the master key was exchanged: everything that lies sealed in the store is sealed with the current one, so that the
//! previous one can be taken away.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    access, accounts,
    codes::Code,
    connect::oauth,
    directory,
    key::{MasterKey, Resealed},
    store::{DocumentKind, DocumentRef, LaneRef, SealedAt, Store, StoreError},
};

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Resealed")]
pub struct Summary {
    /// Sealed with the current key before.
    pub current: u64,
    pub resealed: u64,
    /// What no key here opens.
    pub unreadable: u64,
}

/// Seals all anew that is not sealed with the current key. Beside a running service, and broken off, it does no harm.
///
/// # Errors
/// What the store says; what was sealed anew stays so.
pub async fn all(store: &dyn Store, key: &MasterKey) -> Result<Summary, StoreError> {
    let mut summary = Summary::default();
    for at in store.sealed().await? {
        let Some(sealed) = read(store, &at).await? else { continue };
        let (purpose, parts) = sealed_for(&at);
        match key.reseal(purpose, &parts, &sealed).map_err(StoreError::Unwritable)? {
            Resealed::Current => summary.current += 1,
            // Whoever changed it meanwhile has sealed it with his current key.
            Resealed::Anew(to) => summary.resealed += u64::from(store.reseal(&at, &sealed, to).await?),
            Resealed::Unreadable => {
                summary.unreadable += 1;
                tracing::error!(
                    code = %Code::WrongMasterKey, what = %named(&at),
                    "no master key here opens what is stored, and it is not used; give the key it was sealed with \
                     (server.previous_key_files)"
                );
            }
        }
    }
    let Summary { current, resealed, unreadable } = summary;
    tracing::info!(
        current,
        resealed,
        unreadable,
        "what is sealed was looked through; all that could be opened is sealed with the current master key"
    );
    Ok(summary)
}

async fn read(store: &dyn Store, at: &SealedAt) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(match at {
        SealedAt::Document(at) => store.document(at).await?.and_then(|document| document.says.sealed),
        SealedAt::Credential(lane) => store.credential(lane).await?.map(|stored| stored.sealed),
    })
}

/// As whoever sealed it did. Every kind of document says it here: one that did not would be lost with the previous key.
fn sealed_for(at: &SealedAt) -> (&'static str, Vec<&str>) {
    match at {
        SealedAt::Credential(LaneRef { account, integration }) => (oauth::SEALED_FOR, vec![account, integration]),
        SealedAt::Document(at) => match at.kind {
            DocumentKind::User => (access::SEALED_FOR, vec![&at.id]),
            DocumentKind::Import => (directory::IMPORT_SEALED_FOR, vec![&at.account, &at.id]),
            DocumentKind::Bot => (directory::BOT_SEALED_FOR, vec![&at.account, &at.id]),
            DocumentKind::Account | DocumentKind::Integration => {
                let (purpose, parts) = accounts::sealed_for(at);
                (purpose, parts.into())
            }
            // Nothing of them is sealed.
            DocumentKind::Agent | DocumentKind::Did | DocumentKind::Session | DocumentKind::Token => ("", Vec::new()),
        },
    }
}

fn named(at: &SealedAt) -> String {
    match at {
        SealedAt::Document(DocumentRef { account, kind, id }) => format!("{} {account}/{id}", kind.as_str()),
        SealedAt::Credential(lane) => format!("tokens of {lane}"),
    }
}
