//! Who may ask, judged before anything else: two keys for the v2 API, the URL itself for the telephony connector
//! (`crm-api.md` §4.a).

use http::{HeaderName, StatusCode};
use serde_json::json;

use super::{CONNECTOR, LeadSquared, refusal::Refusal};
use crate::{Reply, Request};

const REGION: &str = "https://api-in21.leadsquared.com";

impl LeadSquared {
    /// Keys as headers or in the query; header names are compared without case.
    pub(super) fn authorise(&self, request: &Request) -> Result<(), Refusal> {
        let given = |header: &'static str, parameter: &str| {
            request.header(HeaderName::from_static(header)).or_else(|| request.param(parameter)).unwrap_or_default()
        };
        let right = given("x-lsq-accesskey", "accessKey") == self.access_key
            && given("x-lsq-secretkey", "secretKey") == self.secret_key;
        if right && !self.revoked {
            return Ok(());
        }
        Err(Refusal::of_status(&self.settings, StatusCode::UNAUTHORIZED))
    }

    /// Every API but the authentication refuses keys of another region, and names the host that takes them.
    pub(super) fn right_region(&self) -> Result<(), Refusal> {
        match &self.settings.other_region {
            None => Ok(()),
            Some(host) => Err(Refusal::under(
                StatusCode::UNAUTHORIZED,
                "MXUnAuthorizedAccessException",
                format!("Invalid API host for this account. Please use {host}"),
            )),
        }
    }

    /// The part of a capability URL after the operation.
    pub(super) fn telephony_connector(&self, key: &[&str]) -> Result<(), Refusal> {
        let right = match key {
            [org, connector] => !self.settings.org_segment && *org == self.org_key && *connector == CONNECTOR,
            [number, org, connector] => {
                self.settings.org_segment && *number == "ORG76235" && *org == self.org_key && *connector == CONNECTOR
            }
            _ => false,
        };
        if right && !self.revoked {
            return Ok(());
        }
        match self.settings.unknown_connector {
            StatusCode::NOT_FOUND => Err(Refusal::NotFound),
            status => Err(Refusal::under(status, "MXUnAuthorizedAccessException", "Connector not found")),
        }
    }

    pub(super) fn show_key_owner(&self) -> Reply {
        let owner = self.users.iter().find(|user| user.id == self.owner);
        let api = self.settings.other_region.as_deref().unwrap_or(REGION);
        Reply::json(
            StatusCode::OK,
            &json!({
                "Id": self.owner,
                "Name": owner.map(|user| &user.name),
                "PassPhrase": owner.map(|user| &user.email),
                "Role": "Administrator",
                "EmailAddress": null,
                "TimeZone": "Asia/Kolkata",
                "Type": "ApplicationUser",
                "OrgDisplayName": "Acme Education",
                "OrgShortCode": "76235",
                "DefaultCountryCode": self.settings.country_code,
                "UserType": "Regular",
                "LSQCommonServiceURLs": { "api": format!("{api}/v2/"), "app": "https://in21.leadsquared.com" },
            }),
        )
    }
}
