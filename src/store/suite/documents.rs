//! Documents are changed on a version, with their entry in the log or not at all.

use serde_json::json;

use super::*;
use crate::store::{
    AuditEntry, AuditFilter, Change, Document, DocumentKind, DocumentRef, SealedAt, StoreError, Writing,
};

fn place(id: &str) -> DocumentRef {
    DocumentRef::new(ACCOUNT, DocumentKind::Agent, id)
}

fn says(name: Option<&str>, text: &str) -> Writing {
    Writing {
        name: name.map(str::to_owned),
        body: json!({ "text": text }),
        sealed: Some(vec![0, 255]),
        expires_at: None,
    }
}

fn put(id: &str, on_version: i64, to: Writing) -> Change {
    Change { at: place(id), on_version, to: Some(to) }
}

fn entry(action: &str) -> AuditEntry {
    AuditEntry {
        by: "me@example.com".to_owned(),
        account: ACCOUNT.to_owned(),
        kind: "agent".to_owned(),
        id: "a".to_owned(),
        action: action.to_owned(),
        changed: json!({ "email": "a@example.com" }),
    }
}

async fn logged(store: &dyn Store) -> Vec<String> {
    let page = store.audit(&AuditFilter::default()).await.expect("the log");
    page.items.into_iter().map(|one| one.entry.action).collect()
}

pub(in crate::store) async fn a_document_is_kept_as_written_and_versioned(store: &dyn Store) {
    assert_eq!(store.document(&place("a")).await.expect("asked"), None);
    let first = says(Some("n"), "one");
    store.change(vec![put("a", 0, first.clone())], vec![entry("made")], at(1)).await.expect("made");
    let read = store.document(&place("a")).await.expect("asked").expect("there");
    let made = Document { at: place("a"), version: 1, says: first, created_at: at(1), updated_at: at(1) };
    assert_eq!(read, made);
    let second = Writing { expires_at: Some(at(99)), sealed: None, ..says(None, "two") };
    store.change(vec![put("a", 1, second.clone())], Vec::new(), at(2)).await.expect("changed");
    let changed = Document { version: 2, says: second, updated_at: at(2), ..made };
    assert_eq!(store.documents(ACCOUNT, DocumentKind::Agent).await.expect("listed"), [changed]);
    for (account, kind) in [("", DocumentKind::Agent), ("acme2", DocumentKind::Agent), (ACCOUNT, DocumentKind::User)] {
        assert!(store.documents(account, kind).await.expect("listed").is_empty(), "{account} {kind:?}");
    }
    let gone = Change { at: place("a"), on_version: 2, to: None };
    store.change(vec![gone], vec![entry("removed")], at(3)).await.expect("removed");
    assert_eq!(store.document(&place("a")).await.expect("asked"), None);
    assert_eq!(logged(store).await, ["removed", "made"]);
}

pub(in crate::store) async fn a_document_on_another_version_is_a_conflict(store: &dyn Store) {
    store.change(vec![put("a", 0, says(None, "one"))], Vec::new(), at(1)).await.expect("made");
    let gone = |id: &str, on_version| Change { at: place(id), on_version, to: None };
    let stale = [
        put("a", 0, says(None, "again")),
        put("a", 2, says(None, "too new")),
        put("b", 1, says(None, "not there")),
        gone("a", 2),
        gone("b", 1),
    ];
    for change in stale {
        // What is written before it in the same transaction goes with it.
        let told = format!("{change:?}");
        let both = vec![put("c", 0, says(None, "before")), change];
        let refused = store.change(both, vec![entry("refused")], at(2)).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{told}: {refused:?}");
    }
    let left = store.documents(ACCOUNT, DocumentKind::Agent).await.expect("listed");
    assert_eq!(left.iter().map(|one| (one.at.id.as_str(), one.version)).collect::<Vec<_>>(), [("a", 1)]);
    assert!(logged(store).await.is_empty());
}

pub(in crate::store) async fn a_document_has_its_name_alone(store: &dyn Store) {
    store.change(vec![put("a", 0, says(Some("n"), "one"))], Vec::new(), at(1)).await.expect("made");
    let taken = store.change(vec![put("b", 0, says(Some("n"), "two"))], vec![entry("refused")], at(2)).await;
    assert!(matches!(taken, Err(StoreError::Taken)), "{taken:?}");
    store.change(vec![put("b", 0, says(Some("m"), "two"))], Vec::new(), at(2)).await.expect("made");
    let taken = store.change(vec![put("b", 1, says(Some("n"), "two"))], Vec::new(), at(3)).await;
    assert!(matches!(taken, Err(StoreError::Taken)), "{taken:?}");
    // Another account, another kind, and those without one are not in its way.
    let elsewhere = |account: &str, kind, id: &str, name| Change {
        at: DocumentRef::new(account, kind, id),
        on_version: 0,
        to: Some(says(name, "x")),
    };
    let others = vec![
        elsewhere("acme2", DocumentKind::Agent, "a", Some("n")),
        elsewhere(ACCOUNT, DocumentKind::User, "a", Some("n")),
        elsewhere(ACCOUNT, DocumentKind::Agent, "c", None),
        elsewhere(ACCOUNT, DocumentKind::Agent, "d", None),
    ];
    store.change(others, Vec::new(), at(4)).await.expect("made");
    let named = async |name: &str| {
        let found = store.document_named(ACCOUNT, DocumentKind::Agent, name).await.expect("asked");
        found.map(|found| found.at.id)
    };
    assert_eq!((named("n").await.as_deref(), named("m").await.as_deref()), (Some("a"), Some("b")));
    assert_eq!(named("o").await, None);
    // A name that is given up is free, also within one transaction.
    let swapped = vec![put("a", 1, says(None, "one")), put("b", 1, says(Some("n"), "two"))];
    store.change(swapped, Vec::new(), at(5)).await.expect("changed");
    assert_eq!((named("n").await.as_deref(), named("m").await), (Some("b"), None));
}

pub(in crate::store) async fn the_log_is_listed_by_page_and_account(store: &dyn Store) {
    for n in 0..5 {
        let account = if n % 2 == 0 { ACCOUNT } else { "" };
        let one = AuditEntry { account: account.to_owned(), ..entry(&n.to_string()) };
        store.change(Vec::new(), vec![one], at(n)).await.expect("noted");
    }
    for account in [None, Some(ACCOUNT), Some("")] {
        let wanted: Vec<&str> = match account {
            None => vec!["4", "3", "2", "1", "0"],
            Some("") => vec!["3", "1"],
            Some(_) => vec!["4", "2", "0"],
        };
        for limit in 1..=6 {
            let (mut seen, mut before) = (Vec::new(), None);
            loop {
                let filter = AuditFilter { account: account.map(str::to_owned), before, limit };
                let page = store.audit(&filter).await.expect("the log");
                assert!(page.items.len() <= limit as usize);
                seen.extend(page.items);
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            let actions: Vec<&str> = seen.iter().map(|one| one.entry.action.as_str()).collect();
            assert_eq!(actions, wanted, "{account:?} by {limit}");
            assert_eq!(seen[0].at, at(seen[0].entry.action.parse().expect("a number")));
            assert_eq!(seen[0].entry.changed, json!({ "email": "a@example.com" }));
        }
    }
    let nobodys = AuditFilter { before: Some("x".to_owned()), ..AuditFilter::default() };
    assert!(matches!(store.audit(&nobodys).await, Err(StoreError::BadCursor)));
}

pub(in crate::store) async fn what_is_over_is_forgotten(store: &dyn Store) {
    for (id, expires) in [("a", Some(5)), ("b", Some(10)), ("c", None)] {
        let to = Writing { expires_at: expires.map(at), ..says(Some(id), "x") };
        store.change(vec![put(id, 0, to)], vec![entry(id)], at(expires.unwrap_or(20))).await.expect("made");
    }
    assert_eq!(store.forget(at(4), at(5), 10).await.expect("forgotten"), 0);
    assert_eq!(store.forget(at(10), at(10), 1).await.expect("forgotten"), 2, "one of each");
    assert_eq!(store.forget(at(10), at(10), 10).await.expect("forgotten"), 1, "at its time it is over");
    let left = store.documents(ACCOUNT, DocumentKind::Agent).await.expect("listed");
    assert_eq!(left.iter().map(|one| one.at.id.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(logged(store).await, ["c", "b"]);
}

pub(in crate::store) async fn what_lies_sealed_is_found_and_exchanged(store: &dyn Store) {
    let open = Writing { sealed: None, ..says(None, "open") };
    let changes = vec![put("a", 0, says(None, "one")), put("b", 0, open)];
    store.change(changes, Vec::new(), at(1)).await.expect("made");
    store.put_credential(&lane(DESK), 0, b"tokens".to_vec()).await.expect("put");
    let mut places = store.sealed().await.expect("listed");
    places.sort();
    let all = [SealedAt::Document(place("a")), SealedAt::Credential(lane(DESK))];
    assert_eq!(places, all);
    for (at, was) in all.iter().zip([&[0, 255][..], b"tokens"]) {
        assert!(!store.reseal(at, b"other", b"late".to_vec()).await.expect("asked"), "it was changed meanwhile");
        assert!(store.reseal(at, was, b"anew".to_vec()).await.expect("exchanged"));
    }
    let document = store.document(&place("a")).await.expect("read").expect("there");
    assert_eq!((document.version, document.says.sealed), (1, Some(b"anew".to_vec())), "it says what it said");
    let tokens = store.credential(&lane(DESK)).await.expect("read").expect("there");
    assert_eq!((tokens.version, tokens.sealed), (1, b"anew".to_vec()));
    store.forget_credential(&lane(DESK)).await.expect("forgotten");
    assert_eq!(store.credential(&lane(DESK)).await.expect("read"), None);
    assert_eq!(store.sealed().await.expect("listed"), [SealedAt::Document(place("a"))]);
}
