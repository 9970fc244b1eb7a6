//! What a hook token opens: all of an account's hooks, a family of them, or one applet's URL and nothing else, so that who
//! reads it in one flow cannot speak for another.

use super::token::PATHS;
use crate::call::{Hook, normalise};

/// Of the families that say by a parameter which applet it is: the last part of the path, the parameter, and what is in it.
const BY_PARAMETER: &[(&str, &str, &[&str])] = &[
    ("call-events", "event", &["pop", "answered", "automated_answered", "missed", "ivr", "gather", "end", "voicemail"]),
    ("inbound_call", "type", &["popup", "incomingcallhungup", "missedcall"]),
];

/// One URL behind a token: the hook it means, and the last part of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) hook: Hook,
    pub(super) applet: &'static str,
}

impl Place {
    /// Whether a token with this scope opens it; without one it opens all.
    pub(super) fn is_in(self, scope: Option<&str>, query: &str) -> bool {
        let Some(scope) = scope else { return true };
        scope == self.hook.as_str() || scope == self.scope(query)
    }

    /// The scope of this place alone.
    fn scope(self, query: &str) -> String {
        let family = self.hook.as_str();
        let parameter = BY_PARAMETER.iter().find(|(applet, ..)| *applet == self.applet);
        match parameter {
            // In the URL, as the flow's author wrote it: what a body says besides does not count where both say it.
            Some((_, name, _)) => {
                let said = normalise::field(query, None, b"", &[name]).unwrap_or_default();
                format!("{family}?{name}={}", said.to_ascii_lowercase())
            }
            None => format!("{family}/{}", self.applet),
        }
    }
}

/// Every scope there is: each family, and each of its applets.
pub fn scopes() -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    let mut add = |scope: String| {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    };
    for (hook, path) in PATHS {
        let family = hook.as_str();
        add(family.to_owned());
        let Some(applet) = last(path).filter(|applet| *applet != family) else { continue };
        match BY_PARAMETER.iter().find(|(named, ..)| *named == applet) {
            Some((_, name, values)) => values.iter().for_each(|value| add(format!("{family}?{name}={value}"))),
            None => add(format!("{family}/{applet}")),
        }
    }
    scopes
}

/// The last part of a path that is not somebody's.
pub(super) fn last(path: &[&'static str]) -> Option<&'static str> {
    path.iter().rev().find(|part| !part.starts_with('{')).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_opens_its_own_place_and_no_other() {
        let places: Vec<(Place, String)> = PATHS
            .iter()
            .flat_map(|(hook, path)| {
                let place = Place { hook: *hook, applet: last(path).expect("a name") };
                let by = BY_PARAMETER.iter().find(|(named, ..)| *named == place.applet);
                let queries = by.map_or(vec![String::new()], |(_, name, values)| {
                    values.iter().map(|value| format!("CallSid=1&{name}={value}")).collect()
                });
                queries.into_iter().map(move |query| (place, query))
            })
            .collect();
        let families: Vec<&str> = PATHS.iter().map(|(hook, _)| hook.as_str()).collect();
        for scope in scopes() {
            let opened: Vec<_> = places.iter().filter(|(place, query)| place.is_in(Some(&scope), query)).collect();
            assert!(!opened.is_empty(), "{scope} opens nothing");
            let own = |(place, query): &&(Place, String)| {
                (place.hook, place.applet, query.clone()) == (opened[0].0.hook, opened[0].0.applet, opened[0].1.clone())
            };
            match families.contains(&scope.as_str()) {
                true => assert!(opened.iter().all(|(place, _)| place.hook.as_str() == scope), "{scope}: {opened:?}"),
                false => assert!(opened.iter().copied().all(|one| own(&one)), "{scope}: {opened:?}"),
            }
        }
        assert!(places.iter().all(|(place, query)| place.is_in(None, query)));
    }

    #[test]
    fn what_the_url_says_in_another_case_is_the_same_and_what_it_leaves_out_is_not() {
        let place = Place { hook: Hook::CallEvents, applet: "call-events" };
        let pop = Some("call_events?event=pop");
        for (query, opened) in [("Event=POP&CallSid=1", true), ("event=missed", false), ("", false), ("event=", false)]
        {
            assert_eq!(place.is_in(pop, query), opened, "{query}");
            assert!(place.is_in(Some("call_events"), query) && !place.is_in(Some("status"), query));
        }
        // The applet of this name is another than the event.
        let gather = Place { hook: Hook::CallEvents, applet: "gather" };
        assert!(gather.is_in(Some("call_events/gather"), "event=gather"));
        assert!(!gather.is_in(Some("call_events?event=gather"), "event=gather"));
    }
}
