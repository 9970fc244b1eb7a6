//! What the log and the metrics hear of a click whose state has changed: whom it rang, never as a whole number.

use patchbay_kit::mask;

use crate::{
    codes::Code,
    store::{Click, ClickState},
    telemetry::{ClickLabels, Metrics},
};

/// One line for each step that ends something.
pub(super) fn tell(metrics: &Metrics, click: &Click, how: Option<&str>) {
    if !matches!(click.state, ClickState::Intended | ClickState::Dialling) {
        metrics.clicks.get_or_create(&ClickLabels { state: click.state.as_str() }).inc();
    }
    let (account, agent, state) = (&click.account, mask::number(&click.agent), click.state.as_str());
    let found = how.unwrap_or("by Exotel's answer");
    match &click.state {
        ClickState::Placed { call_sid, .. } => {
            tracing::info!(click = %click.id, %account, %agent, state, call = %call_sid, found,
                "a call is placed by click-to-call");
        }
        ClickState::Refused { code, message } => {
            tracing::warn!(
                code = %Code::ClickRefused, click = %click.id, %account, %agent, state, exotel_code = code,
                reason = mask::text(message),
                "Exotel refuses to place a call; it is not dialled again"
            );
        }
        ClickState::Unknown { reason } => {
            tracing::warn!(
                code = %Code::ClickUnknown, click = %click.id, %account, %agent, state, reason = mask::text(reason),
                "it is not known whether a call was placed; it is looked for in Exotel's list, and not dialled again"
            );
        }
        ClickState::NotPlaced { reason } => {
            tracing::warn!(
                code = %Code::NotPlaced, click = %click.id, %account, %agent, state, reason = mask::text(reason),
                "a call was not placed; it is not dialled again by itself"
            );
        }
        ClickState::Intended | ClickState::Dialling => {
            tracing::debug!(click = %click.id, %account, %agent, state, "a call is asked for by click-to-call");
        }
    }
}
