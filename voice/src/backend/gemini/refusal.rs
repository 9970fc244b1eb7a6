//! Why Gemini has ended a connection, as somebody who runs the bot understands it. Google says it in the close's words,
//! beside a code that means little (1007, 1008 and 1011 stand for all of it).

/// What its words come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Key,
    Quota,
    Model,
    Place,
    /// Something in what it was sent: the setup, or a handle that it does not know any more.
    Message,
}

impl Refusal {
    pub(super) fn of(said: &str) -> Option<Self> {
        let said = said.to_ascii_lowercase();
        let any = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if any(&["location is not supported"]) {
            Some(Self::Place)
        } else if any(&["quota", "billing", "resource_exhausted", "resource has been exhausted", "rate limit"]) {
            Some(Self::Quota)
        } else if any(&[
            "api key",
            "api_key",
            "unauthenticated",
            "authentication",
            "unregistered callers",
            "permission",
            "access token",
        ]) {
            Some(Self::Key)
        } else if said.contains("model")
            && any(&["not found", "not supported for bidi", "no longer available", "does not exist"])
        {
            Some(Self::Model)
        } else if any(&["invalid argument", "invalid json", "unknown name", "invalid value", "precondition"]) {
            Some(Self::Message)
        } else {
            None
        }
    }

    /// Whether another connection would end as this one.
    pub(super) fn is_final(self) -> bool {
        self != Self::Message
    }

    pub(super) fn told(self, model: &str) -> String {
        match self {
            Self::Key => {
                "Gemini refuses the key: see the bot's api_key, and whether its project may use this API".into()
            }
            Self::Quota => "Gemini's quota for this key is used up, or too many sessions are open".into(),
            Self::Model => {
                format!("Gemini has no live model {model:?} for this key: set another one as options.setup.model")
            }
            Self::Place => "Gemini is not offered where this server stands".into(),
            Self::Message => format!("Gemini refuses the setup for {model:?}: see the bot's options"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_google_says_is_understood() {
        for (said, refusal) in [
            ("API key not valid. Please pass a valid API key.", Some(Refusal::Key)),
            ("API key expired. Please renew the API key.", Some(Refusal::Key)),
            ("Your API key was reported as leaked. Please use another API key.", Some(Refusal::Key)),
            ("Method doesn't allow unregistered callers (callers without established identity).", Some(Refusal::Key)),
            ("Request had invalid authentication credentials. Expected OAuth 2 access token", Some(Refusal::Key)),
            ("You exceeded your current quota, please check your plan and billing details.", Some(Refusal::Quota)),
            ("Resource has been exhausted (e.g. check quota).", Some(Refusal::Quota)),
            (
                "models/gemini-1 is not found for API version v1beta, or is not supported for bidiGenerateContent.",
                Some(Refusal::Model),
            ),
            ("User location is not supported for the API use.", Some(Refusal::Place)),
            ("Request contains an invalid argument.", Some(Refusal::Message)),
            ("Invalid JSON payload received. Unknown name \"x\"", Some(Refusal::Message)),
            ("Deadline expired before operation could complete.", None),
            ("The service is currently unavailable.", None),
            ("Operation is not implemented, or supported, or enabled.", None),
            ("Internal error encountered.", None),
            ("", None),
        ] {
            assert_eq!(Refusal::of(said), refusal, "{said}");
        }
    }
}
