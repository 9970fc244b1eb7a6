//! The one table of codes: what Patchbay tells a program or a log by one word, and what a person does about it.
//!
//! A code is a promise: who has written it into an alert or a program finds it there in the next version. Answers of the
//! API carry it as `error.code`, log lines as `code=`, reasons of deliveries begin with it, `patchbay check` prints it.
//! `docs/ERRORS.md` is made from this table.

use std::fmt::{self, Write as _};

use patchbay_kit::Kind;

/// Where a code is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Answers of the API, whatever is asked.
    Api,
    /// Calls that Patchbay is asked to place.
    Calls,
    /// Deliveries, and the CRM behind them.
    Crm,
    Exotel,
    Voicebot,
    /// What is kept of accounts, users and who may come in.
    Accounts,
    /// This process, its disk, its database, Redis.
    Service,
    /// What only `patchbay check` says: nothing has failed yet, but a caller would notice.
    Check,
}

impl Part {
    pub const ALL: [Self; 8] =
        [Self::Api, Self::Calls, Self::Crm, Self::Exotel, Self::Voicebot, Self::Accounts, Self::Service, Self::Check];

    fn heading(self) -> &'static str {
        match self {
            Self::Api => "Answers of the API",
            Self::Calls => "Click-to-call, test calls, calls of bots",
            Self::Crm => "Deliveries and the CRM",
            Self::Exotel => "Exotel",
            Self::Voicebot => "Voicebots",
            Self::Accounts => "Accounts, integrations, sign-in",
            Self::Service => "The service, its store and Redis",
            Self::Check => "What `patchbay check` warns of",
        }
    }
}

/// What is to be known of a code.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub code: Code,
    pub word: &'static str,
    pub part: Part,
    /// Of answers of the API; none of what only stands in the log, a timeline or `check`.
    pub statuses: &'static [u16],
    pub happened: &'static str,
    /// What Patchbay does about it by itself.
    pub by_itself: &'static str,
    /// What the reader does.
    pub advice: &'static str,
}

macro_rules! codes {
    ($($part:ident { $($code:ident $word:literal $statuses:tt $happened:literal, $by_itself:literal, $advice:literal;)* })*) => {
        /// One word for what has happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($($code,)*)* }

        /// Every code there is, in the order of the page.
        pub const TABLE: &[Row] = &[$($(Row {
            code: Code::$code,
            word: $word,
            part: Part::$part,
            statuses: &$statuses,
            happened: $happened,
            by_itself: $by_itself,
            advice: $advice,
        },)*)*];
    };
}

codes! {
    Api {
        BadRequest "bad_request" [400]
            "A parameter, a field or the body cannot be read, or has a value that cannot be. The message names it.",
            "Nothing was done.",
            "Mend what the message names and ask again.";
        Invalid "invalid" [400]
            "Settings cannot be as they were given. `problems` names each with what would be right.",
            "Nothing was changed.",
            "Mend every setting that is named and send it again.";
        Unauthorized "unauthorized" [401]
            "There is no session and no token with the request, or it has ended.",
            "Nothing was done.",
            "Sign in again, or send `Authorization: Bearer …` with a token that is valid.";
        WrongCredentials "wrong_credentials" [401]
            "E-mail and password, or the one-time token, are not right.",
            "The try is counted; after some of them it is `too_many`.",
            "Try again, or have an admin give you a new one-time token.";
        ApiClosed "api_closed" [403]
            "`server.admin_token` is not set, and nobody who is not signed in may ask.",
            "Nothing was done.",
            "Set `server.admin_token` (24 characters or more) and start Patchbay again.";
        Forbidden "forbidden" [403]
            "You are known and may not do this. The message says which role or whose it is.",
            "Nothing was done.",
            "Ask an admin, or use a token of the role that is named.";
        NotFound "not_found" [404]
            "There is nothing of this name. What belongs to an account that is not yours looks the same.",
            "Nothing was done.",
            "Compare the path with the list of what there is; see that the token is for this account.";
        Conflict "conflict" [409]
            "It is not as you believe: changed by somebody else since you read it, there already, in use, or in the \
             configuration file. The message says which.",
            "Nothing was changed.",
            "Read it again and decide anew; what the file says is changed in the file.";
        TooLarge "too_large" [413]
            "The body has more bytes than are taken.",
            "Nothing was done.",
            "Send less at once.";
        NotVerified "not_verified" [422]
            "The credentials were tried, and Exotel or the CRM did not take them, or did not answer.",
            "Nothing was changed.",
            "Read the cause in the message, mend the credentials, send them again.";
        TooMany "too_many" [429]
            "A sign-in was tried too often, from this address or for this e-mail.",
            "Tries are refused until `Retry-After` is over.",
            "Wait. If it was not you, see the log for `sign_in_refused`.";
        TooManyStreams "too_many_streams" [429, 503]
            "As many event streams are open as may be: of yours (429), or of all (503).",
            "Those that are open go on.",
            "Close pages that nobody looks at, and come again after `Retry-After`.";
        Upstream "upstream" [502]
            "Exotel or a CRM was asked for this, and did not answer as it should. The message has its words.",
            "Questions were repeated a few times; what changes something was sent once.",
            "Do what the message says; if it says nothing, try again in some minutes.";
        StoreUnavailable "store_unavailable" [503]
            "The database did not answer, or could not take it.",
            "Callbacks are answered 503 while they cannot be made durable. What is durable stays; work goes on once the \
             database is there again.",
            "See the disk (full, read-only) or PostgreSQL. The log line has the database's own words.";
    }
    Calls {
        KeyOfAnotherRequest "key_of_another_request" [409]
            "This `Idempotency-Key` was used for another call.",
            "Nothing was dialled by this request.",
            "Give each call that you want a key of its own; repeat a request with its own key.";
        UnknownAgent "unknown_agent" [422]
            "The agent is not in the user mapping.",
            "Nothing was dialled.",
            "Give the number, `sip:…` or e-mail of an agent of the account, or add him.";
        ClickToCallOff "click_to_call_off" [422]
            "Click-to-call is switched off for this agent.",
            "Nothing was dialled.",
            "Set `click_to_call = true` for him.";
        NotANumber "not_a_number" [422]
            "What should be telephoned is no telephone number.",
            "Nothing was dialled.",
            "Write it with + and its country code.";
        TheAgentHimself "the_agent_himself" [422]
            "The number to call is the agent's own.",
            "Nothing was dialled.",
            "Give the customer's number.";
        TheDidItself "the_did_itself" [422]
            "The number to call is the DID's own.",
            "Nothing was dialled.",
            "Give the telephone that is to ring.";
        NoCallerId "no_caller_id" [422]
            "Neither the request nor the agent nor the account says which ExoPhone the customer is to see.",
            "Nothing was dialled.",
            "Give `caller_id`, or set it for the agent.";
        NoDid "no_did" [422]
            "No DID leads to this bot.",
            "Nothing was dialled.",
            "Give a DID as `exophone`, or give a DID this bot.";
        UnknownDid "unknown_did" [422]
            "The ExoPhone is no DID of this account.",
            "Nothing was dialled.",
            "Add it under `/dids`.";
        NoFlowUrl "no_flow_url" [422]
            "The DID does not say which flow its calls go into.",
            "Nothing was dialled.",
            "Set its `flow_url`, as App Bazaar shows it.";
        BotCannotAnswer "bot_cannot_answer" [422]
            "The bot's address and credentials cannot be opened.",
            "Nothing was dialled.",
            "Give them anew, or add the old key to `server.previous_key_files`.";
        TooLong "too_long" [422]
            "`custom_field` is longer than Exotel takes beside Patchbay's mark.",
            "Nothing was dialled.",
            "Shorten it.";
        TooMuch "too_much" [422]
            "The parameters of a bot's call are more than its flow can carry.",
            "Nothing was dialled.",
            "Give fewer or shorter ones.";
        OutOfRange "out_of_range" [422]
            "`time_limit` is not within what Exotel takes.",
            "Nothing was dialled.",
            "Give a number of seconds within the range that the message names.";
        OutsideCallingHours "outside_calling_hours" [422]
            "Calls are not placed at this time of day or on this day.",
            "Nothing was dialled, and it is not dialled later.",
            "Ask again within the hours that the message names, or change them.";
        TooManyCalls "too_many_calls" [429]
            "Exotel's limit of placed calls is used up.",
            "Nothing was dialled; the key stays good.",
            "Ask again with the same key after `Retry-After`.";
        ClickRefused "click_refused" []
            "Exotel refuses to place a call. `exotel_code` is Exotel's own number for it, which the answer has as its \
             `error.code`.",
            "Nothing was dialled, and it is not tried again.",
            "Do what `reason` says, then ask with a new key.";
        ClickUnknown "click_unknown" []
            "Exotel was told to place a call, and its answer was lost.",
            "The call is looked for in Exotel's list until it is known whether it was placed. It is not dialled again.",
            "Nothing. Ask `/clicks/{id}` for what was found; do not ask with a new key before.";
        NotPlaced "not_placed" [422]
            "Exotel's list does not have the call: it was not placed.",
            "It is not dialled again.",
            "To dial, ask with a new key.";
        SecondCall "second_call" []
            "Exotel tells of a second call with the mark of one click.",
            "Both calls are taken in; the click keeps the first.",
            "See both timelines. Exotel's support can say why there were two.";
    }
    Crm {
        CrmUnauthorized "crm_unauthorized" []
            "The CRM refuses the credentials: wrong, expired or revoked.",
            "Deliveries of this integration wait, none is lost; the credentials are tried again every few minutes.",
            "Run `patchbay check`, renew the key or run `patchbay connect`. What waits then goes out.";
        CrmForbidden "crm_forbidden" []
            "The credentials are right and may not do this in the CRM.",
            "The delivery is held.",
            "Give the CRM's user the right that the reason names, then retry the delivery.";
        CrmNotFound "crm_not_found" []
            "The CRM knows nothing of what a request needs: a field, an object, an address.",
            "The delivery is held.",
            "Set up what the reason names (see the connector's set-up page), then retry.";
        CrmConflict "crm_conflict" []
            "The CRM says that such a record, or its unique field, is there already.",
            "The delivery is held.",
            "Look at both records in the CRM, mend one, then retry.";
        CrmInvalid "crm_invalid" []
            "The CRM refuses what a request says: a mandatory field, a value it does not know.",
            "The delivery is held.",
            "Give the field in `defaults` or make it optional in the CRM, then retry; many at once with \
             `/deliveries/retry`.";
        CrmUnsupported "crm_unsupported" []
            "The CRM, or this edition of it, cannot do this, or a setting that it takes is missing.",
            "The delivery is held.",
            "Set what the reason names, or switch the feature off.";
        CrmRateLimited "crm_rate_limited" []
            "The CRM takes no more requests for now.",
            "Deliveries wait and go out when it takes them; it costs no attempt.",
            "Nothing. If it lasts, lower the integration's `quota` or have the CRM's limit raised.";
        CrmUnavailable "crm_unavailable" []
            "The CRM answered as a broken service does (5xx, a gateway's page).",
            "It is tried again along `delivery.retry`; after some in a row it is `crm_down`.",
            "Nothing, unless it lasts.";
        CrmMalformed "crm_malformed" []
            "The CRM's answer cannot be read.",
            "It is tried again as if the CRM were down; what may have been made is looked for first.",
            "If it lasts, see whether the address is the CRM's, and no proxy answers in its place.";
        CrmNoAnswer "crm_no_answer" []
            "The CRM could not be reached, or did not answer in time.",
            "It is tried again along `delivery.retry`; after some in a row it is `crm_down`.",
            "Nothing, unless it lasts: then see the domain, and the way out of this machine.";
        CrmAnswerLost "crm_answer_lost" []
            "A record was to be made, and the answer did not come: it may be there.",
            "It is looked for after `delivery.ambiguous_wait`, and made only if it is not there.",
            "Nothing.";
        CrmDown "crm_down" []
            "The CRM has not answered several times in a row.",
            "Callbacks are taken as ever. Deliveries wait and spend no attempts; it is asked every minute at most, and \
             they go out once it answers.",
            "Nothing, unless it lasts: then see the CRM's status page, the domain, and the way out of this machine.";
        SeveralContacts "several_contacts" []
            "Several contacts of the CRM have the caller's number, and `contact_choice` leaves it to a person.",
            "The delivery is held, with the candidates in its reason.",
            "Choose one: `POST …/calls/{call_sid}/contact`.";
        RecordGone "record_gone" []
            "The record of the call is not in the CRM any more.",
            "The delivery is dead: what a person deleted is not made again by itself.",
            "If it should be there, resync the call with `rewrite`.";
        Undecidable "undecidable" []
            "The record may or may not be in the CRM, and the CRM cannot be asked for it.",
            "The delivery is held.",
            "Look in the CRM. If the record is not there, retry the delivery; if it is, leave it.";
        GivenUp "given_up" []
            "A delivery was tried along the whole of `delivery.retry` for `delivery.give_up_after`.",
            "It is dead, and not tried again by itself.",
            "Mend the cause that follows the word, then retry; all of an integration at once with `/deliveries/retry`.";
        ServiceStopping "service_stopping" []
            "Patchbay was told to end while the delivery was under way.",
            "It goes out after the next start.",
            "Nothing.";
        IntegrationGone "integration_gone" []
            "Deliveries wait for an integration that is not there any more.",
            "They are held.",
            "Give it its name back and retry them, or resync their calls for another.";
        CredentialEnds "credential_ends" []
            "The integration's credential is about to end, or has ended.",
            "It is used until then.",
            "Make a new one in the CRM before the day that is named, and set it.";
        TokenNotRenewed "token_not_renewed" []
            "The access token could not be renewed ahead of time.",
            "It is used until it ends; renewing is tried on.",
            "Nothing, unless `crm_unauthorized` follows.";
        TokenNotStored "token_not_stored" []
            "A new access token cannot be written into the database.",
            "It is written again every second, and not used before.",
            "Mend the database before you end Patchbay: a rotated token that is not stored is lost with the process.";
        NoRefreshToken "no_refresh_token" []
            "The CRM gave an access token and none to renew it by.",
            "It is used until it ends.",
            "See that the app in the CRM may have offline access, and run `patchbay connect` again.";
        ConsentRefused "consent_refused" []
            "Somebody was asked for his consent in the CRM, and it came back without.",
            "Nothing was changed.",
            "Run `patchbay connect` again, as a user who may consent.";
        ConsentFailed "consent_failed" []
            "The CRM did not give tokens for the code that the consent brought.",
            "Nothing was changed.",
            "Read the cause, mend `client_id` and `client_secret` if it names them, run `patchbay connect` again.";
        BackfillBrokeOff "backfill_broke_off" []
            "Planning the calls of the past has broken off.",
            "What was planned goes out.",
            "Ask for the backfill again. Nothing is doubled.";
        CallsNotPlanned "calls_not_planned" []
            "Calls that came while another node made an integration may not be in it.",
            "The others are.",
            "Resync them, or ask for a backfill of the integration.";
    }
    Exotel {
        Refused "refused" [422]
            "Exotel says no. The message has its words, and what they mean where that is known.",
            "Nothing was done, and it is not asked again.",
            "Do what the message says.";
        Unknown "unknown" [502]
            "Exotel's answer was lost: it may have done it.",
            "What dials or changes something is not sent again.",
            "Look whether it was done before you ask again.";
        ExotelBusy "exotel_busy" [429]
            "Exotel's limit of requests is used up, by Patchbay or by others in the account.",
            "Work in the background waits by itself.",
            "Ask again after `Retry-After`, or have Exotel raise the limit.";
        UnknownToExotel "unknown_to_exotel" [404]
            "Exotel knows nothing of this.",
            "Nothing was done.",
            "Check what was asked for; if nothing at all is known, check `sid` and `region`.";
        ExotelUnauthorized "exotel_unauthorized" []
            "Exotel refuses the account's API key and token.",
            "Callbacks are taken, and calls written into the CRM without what only Exotel's API tells: recordings, \
             durations. These are asked for again.",
            "Run `patchbay check`: it says whether key, region or permissions are wrong.";
        ExotelUnreachable "exotel_unreachable" [502, 503]
            "Exotel's API cannot be reached; nothing was sent.",
            "Work in the background is tried again.",
            "If it lasts: see `api_url`, `ccm_url`, and the way out of this machine.";
        ExotelUnreadable "exotel_unreadable" []
            "Exotel's answer cannot be read.",
            "A question is asked again later; a call of its list that cannot be read is passed over.",
            "If it lasts, see whether a proxy answers in Exotel's place; else tell us, with the log line.";
        ExotelNoDetails "exotel_no_details" []
            "Exotel does not tell calls' details.",
            "Recordings and durations wait, and are asked for again.",
            "Nothing, unless it lasts: then run `patchbay check`.";
        ListNotCompared "list_not_compared" []
            "Exotel's list of calls cannot be compared with the calls that are known.",
            "It is tried again, from where it came to. Callbacks are taken as ever.",
            "Nothing, unless it lasts: then run `patchbay check`.";
        CallbacksRefused "callbacks_refused" []
            "Callbacks cannot be made durable.",
            "Exotel is answered 503 until they can. Calls that are missed are found in its list later, where \
             `sweep` is on.",
            "Mend the database at once: see the disk, or PostgreSQL.";
        SetAside "set_aside" []
            "A callback cannot be read, or a call cannot be decided.",
            "It is set aside with the reason; the others go on.",
            "See `GET …/receipts`. After an update that reads it: `POST …/receipts/replay`.";
        NoDeviceOn "no_device_on" []
            "A device could not be switched on, nor the one before back on: no device of this agent rings.",
            "Nothing more.",
            "Switch one on: `PUT …/agents/{id}/device`, or in Exotel's dashboard.";
        RecordingNotPassedOn "recording_not_passed_on" []
            "Somebody wants to hear a recording, and Exotel does not give it out.",
            "He is told so. It is asked for anew when he tries again.",
            "Nothing if it is not there yet; else run `patchbay check`.";
    }
    Voicebot {
        BackendFailed "backend_failed" []
            "The bot's backend could not be reached, refused, or broke off. `told` has the cause.",
            "The stream is closed, and the flow goes on with its next applet.",
            "See the bot's `url` and credentials, and the backend's own log.";
        NoBot "no_bot" []
            "A stream came for which there is no bot, or none that can answer. `told` has the cause.",
            "The stream is closed, and the flow goes on.",
            "Give the DID a bot, or the flow's applet the address of a bot that there is.";
        Silent "silent" []
            "Nothing came from Exotel for as long as a session lives without.",
            "The session is ended at both ends.",
            "Nothing for one call; if it is many, see the network between Exotel and this machine.";
        Replaced "replaced" []
            "A newer connection has taken the call over.",
            "The older session is ended.",
            "Nothing.";
        Full "full" []
            "As many sessions are on as `[voicebot]` allows.",
            "The stream is closed, and the flow goes on.",
            "Raise the limit if the machine can bear it, or add a node.";
        Stopping "stopping" []
            "Patchbay was told to end.",
            "No session begins; those that are on may end until shortly before `drain_timeout`.",
            "Nothing.";
        Broken "broken" []
            "What came from Exotel is no websocket any more.",
            "The session is ended, and the flow goes on.",
            "See what stands between Exotel and Patchbay: a proxy has to pass websockets on.";
        NeverStarted "never_started" []
            "A connection came and no call started on it, or without saying of which call.",
            "It is closed.",
            "Nothing, unless it is many: then see who knows the bot's address.";
        Dropped "dropped" []
            "The session's task ended abnormally.",
            "Both connections are closed, and the call's timeline says so.",
            "Tell us, with the log around it.";
        NotRecorded "not_recorded" []
            "A bot's call should be recorded and is not, or not to its end.",
            "The call goes on.",
            "See that `[voicebot] recordings` names a directory that can be written, and the disk.";
        NotRemoved "not_removed" []
            "Old recordings of bots' calls cannot be removed.",
            "It is tried again later.",
            "See the rights of the directory that `[voicebot] recordings` names.";
        HandOverToNobody "hand_over_to_nobody" []
            "The bot's `transfer_to` reaches nobody.",
            "The caller is handed over all the same, and the flow decides whom he gets.",
            "Mend `transfer_to`: an agent of the user mapping, or a number.";
        TimelineIncomplete "timeline_incomplete" []
            "What was done is not in the call's timeline: the store did not take it.",
            "It was done all the same.",
            "See the database.";
    }
    Accounts {
        SignInRefused "sign_in_refused" []
            "Somebody tried to sign in with a wrong e-mail or password.",
            "Tries are limited, by address and by e-mail.",
            "Nothing for one. Many from one address are somebody who guesses: shut it out before Patchbay.";
        Shadowed "shadowed" []
            "What was made by the API has a name or a number that the configuration file gives to another.",
            "The file's is taken; the other is kept and not used.",
            "Take one of them away.";
        CannotBeRun "cannot_be_run" []
            "An account or integration that was made by the API cannot be run as it is kept.",
            "An account's hooks are closed, an integration's deliveries are held; all others run.",
            "Mend what the reason names by the API.";
        WrongMasterKey "wrong_master_key" []
            "Something that is kept sealed was sealed with another master key.",
            "It is kept and not used; all else runs.",
            "Give the key it was sealed with as `server.previous_key_files`, or give the credentials anew.";
        NoAccount "no_account" []
            "There is no account, in the configuration or made by the API.",
            "No callback is let in.",
            "Add an `[[account]]`, or make one by the API.";
        NodeBehind "node_behind" []
            "What another node, or the API, has changed cannot be read now.",
            "This node goes on with what it knows, and reads it with the next change.",
            "See the database. If a change is not seen here after that, start this node again.";
        ImportBrokeOff "import_broke_off" []
            "A table that was sent in was not gone through to its end.",
            "It is gone through again at the next start; what is there already is unchanged.",
            "Send it again, or start Patchbay again.";
        LogIncomplete "log_incomplete" []
            "How a request ended cannot be written into the log of changes.",
            "That it was begun stands there.",
            "See the database.";
    }
    Service {
        ConfigInvalid "config_invalid" []
            "The configuration cannot be as it is. Every mistake is named with its key and what would be right.",
            "Nothing is started; a service that runs goes on with what it had.",
            "Mend every key that is named; `patchbay check --config FILE` tells before you start.";
        CannotStart "cannot_start" []
            "Patchbay could not begin: an address that is taken, a database that does not open, a key that cannot be read.",
            "It ended. Nothing was changed.",
            "Do what the message says and start it again.";
        StoreUnwritable "store_unwritable" []
            "The database takes no writes: the disk is full, gone or read-only, or PostgreSQL is away.",
            "Callbacks are answered 503; nothing that was acknowledged is lost. It is tried on.",
            "Make room on the disk, or bring PostgreSQL back. Nothing has to be started again.";
        StoreNotClosed "store_not_closed" []
            "The database was not closed cleanly.",
            "The next start reads its log; nothing is lost.",
            "Nothing.";
        ContextDegraded "context_degraded" []
            "Redis does not answer.",
            "Each node goes on with what it knows itself. Fewer callers may reach their last agent; nothing is lost. \
             Redis is asked every second, and told what it missed.",
            "Bring Redis back.";
        TakenOver "taken_over" []
            "Another node has taken over what this one was doing.",
            "The other looks for what was under way before it writes.",
            "Nothing. If it happens often, see the clocks of the nodes and the way to PostgreSQL.";
        LeaseNotGivenBack "lease_not_given_back" []
            "A node could not say that it has done with something.",
            "Others take it when the lease ends by itself, within half a minute.",
            "Nothing.";
        Interrupted "interrupted" []
            "Patchbay ended while something was under way.",
            "Each is looked for, in the CRM or in Exotel's list, before it is done again.",
            "Nothing. If it was not you who ended it, see why: memory, a crash.";
        NoSignals "no_signals" []
            "The system does not let Patchbay hear SIGTERM.",
            "It runs, and does not end by itself.",
            "End it with SIGKILL; nothing is lost by it.";
        Internal "internal" []
            "Something of Patchbay's own went wrong.",
            "What it was at is left as it was, or looked for again; all else goes on.",
            "Tell us, with the log line and what is around it.";
    }
    Check {
        NoAccounts "no_accounts" []
            "There is no account in the file, and none made by the API that can be seen.",
            "Every callback is answered 401.",
            "Add an `[[account]]`, or make one by the API.";
        NoPublicUrl "no_public_url" []
            "`server.public_url` is not set.",
            "Links in records lead to the address that Patchbay listens on.",
            "Set it to the address under which Exotel and your agents reach Patchbay.";
        NotConnected "not_connected" []
            "The CRM wants somebody's consent, and nobody has given it yet.",
            "Calls are taken, and their deliveries wait.",
            "Run `patchbay connect` while the service runs.";
        HooksOpen "hooks_open" []
            "`open_hooks` lets in whoever knows the Account SID.",
            "Events that anybody sends for it are taken for Exotel's.",
            "Put hook tokens into the flows, and take `open_hooks` away.";
        AgentNotInCrm "agent_not_in_crm" []
            "An agent of the file is not, or not active, in the CRM.",
            "Calls he takes are recorded, and assigned to nobody.",
            "Mend the agent's `email`, or set `crm_user`.";
        NotTried "not_tried" []
            "What was made by the API is known to the running service alone, which could not be asked.",
            "Nothing. The file was checked.",
            "See the message; check again while the service runs, with its `admin_token` in the file.";
        WssNeeded "wss_needed" []
            "Voicebots are there, and `server.public_url` is no https address.",
            "Nothing: Exotel connects to voicebots by `wss` alone.",
            "Put a TLS proxy before Patchbay, and its address into `server.public_url`.";
        BotSecretsLost "bot_secrets_lost" []
            "Address and credentials of a bot were sealed with another master key.",
            "Its calls end at once, and the flow goes on.",
            "Give them anew by the API, or bring the key back.";
        TransferToNobody "transfer_to_nobody" []
            "A bot's `transfer_to` is no number, no group of the routing, and no agent who has a number.",
            "The flow's Connect applet decides by its rules.",
            "Mend `transfer_to`, make the group, or give the agent a number.";
        RecordingsNowhere "recordings_nowhere" []
            "A bot's calls are to be recorded, and there is no directory for it.",
            "Nothing is recorded.",
            "Name a directory in `voicebot.recordings`.";
        DidWithoutBot "did_without_bot" []
            "A DID leads to a bot that is not there.",
            "Its calls find no bot; the flow goes on.",
            "Make the bot, or mend `bot_id`.";
        DidNotRented "did_not_rented" []
            "A DID is no ExoPhone of the account.",
            "Nothing: no call comes to it.",
            "Mend the number, or rent it in Exotel's dashboard.";
        FlowUrlForeign "flow_url_foreign" []
            "A DID's `flow_url` names no flow of the account.",
            "Test calls and calls of bots through it are refused by Exotel.",
            "Copy the address from App Bazaar.";
        VoicebotsNotEnabled "voicebots_not_enabled" []
            "Exotel knows of no streams of the account.",
            "Nothing.",
            "Send the letter that `patchbay check` writes to Exotel's support.";
        ClockOff "clock_off" []
            "This machine's clock is not Exotel's.",
            "Times of calls are Exotel's; retries and sweeps go by the machine's clock.",
            "Set the clock, by NTP.";
        FlowMissing "flow_missing" []
            "Exotel names no flow of the account for an ExoPhone.",
            "Calls to it tell nothing here; they are found in Exotel's list.",
            "Assign a flow in App Bazaar.";
        FlowElsewhere "flow_elsewhere" []
            "Of calls to an ExoPhone Exotel's list alone told.",
            "Their records are made from the list, later and with less.",
            "Paste the URLs that `patchbay check` prints into its flow.";
        PopupsMissing "popups_missing" []
            "Answered calls came without popup events, or without those that tell of ringing and answering.",
            "Agents see callers late or not at all; records are as ever.",
            "Paste the URL of *Create popup…*; send the letter that `patchbay check` writes to Exotel's support.";
    }
}

impl Code {
    pub fn row(self) -> &'static Row {
        // In the order of the enum, as both are made of the same list.
        &TABLE[self as usize]
    }

    pub fn as_str(self) -> &'static str {
        self.row().word
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Kind> for Code {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Unauthorized => Self::CrmUnauthorized,
            Kind::Forbidden => Self::CrmForbidden,
            Kind::NotFound => Self::CrmNotFound,
            Kind::Conflict => Self::CrmConflict,
            Kind::Invalid => Self::CrmInvalid,
            Kind::RateLimited => Self::CrmRateLimited,
            Kind::Unavailable => Self::CrmUnavailable,
            Kind::Malformed => Self::CrmMalformed,
            Kind::Unsupported => Self::CrmUnsupported,
        }
    }
}

/// The table as the page has it.
pub fn markdown() -> String {
    let mut page = String::new();
    for part in Part::ALL {
        let _ = write!(page, "\n## {}\n", part.heading());
        for row in TABLE.iter().filter(|row| row.part == part) {
            let statuses: Vec<String> = row.statuses.iter().map(u16::to_string).collect();
            let _ = write!(page, "\n### `{}`", row.word);
            if !statuses.is_empty() {
                let _ = write!(page, " ({})", statuses.join(", "));
            }
            let _ = write!(page, "\n\n");
            for (what, text) in
                [("What happened", row.happened), ("What Patchbay does", row.by_itself), ("What you do", row.advice)]
            {
                page.push_str(&wrapped(&format!("- {what}: {text}")));
            }
        }
    }
    page.push('\n');
    page
}

/// Lines of at most 120 columns, those after the first indented under it.
fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > 120 {
            lines.push_str(&line);
            lines.push('\n');
            line = format!("  {word}");
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_one_word_that_stands_once_and_says_what_to_do() {
        let mut seen = BTreeSet::new();
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.code as usize, at, "{}", row.word);
            assert!(seen.insert(row.word), "{} stands twice", row.word);
            assert!(row.word.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", row.word);
            for text in [row.happened, row.by_itself, row.advice] {
                assert!(text.ends_with('.') && !text.contains("  "), "{}: {text:?}", row.word);
            }
        }
    }

    /// Reasons of deliveries are written by the kit, and looked up in this table.
    #[test]
    fn failures_of_the_kit_have_the_words_of_the_table() {
        for kind in [
            Kind::Unauthorized,
            Kind::Forbidden,
            Kind::NotFound,
            Kind::Conflict,
            Kind::Invalid,
            Kind::RateLimited,
            Kind::Unavailable,
            Kind::Malformed,
            Kind::Unsupported,
        ] {
            assert_eq!(kind.code(), Code::from(kind).as_str());
        }
    }
}
