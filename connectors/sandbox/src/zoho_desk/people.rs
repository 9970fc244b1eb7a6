//! Agents, departments, organisations: read-only here, as the connector only reads them (§6.2.e).

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Agent, ZohoDesk,
    model::FIRST_AGENT,
    query::{Page, invalid, only},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

fn shown(agent: &Agent) -> Value {
    let departments: Vec<String> = agent.departments.iter().map(u64::to_string).collect();
    json!({
        "id": agent.id.to_string(),
        "firstName": agent.first_name,
        "lastName": agent.last_name,
        "name": format!("{} {}", agent.first_name, agent.last_name).trim(),
        "emailId": agent.email,
        "phone": agent.phone,
        "mobile": agent.mobile,
        "extn": "",
        "status": if agent.active { "ACTIVE" } else { "DISABLED" },
        "isConfirmed": true,
        "zuid": (agent.id + 1).to_string(),
        "rolePermissionType": "AgentPersonal",
        "photoURL": null,
        "associatedDepartmentIds": departments,
    })
}

impl ZohoDesk {
    /// Adds an active agent of every department.
    pub fn add_agent_with(&mut self, name: &str, email: &str, fill: impl FnOnce(&mut Agent)) -> u64 {
        let id = self.next_agent;
        self.next_agent += 1;
        let (first, last) = name.rsplit_once(' ').unwrap_or(("", name));
        let mut agent = Agent {
            id,
            first_name: first.to_owned(),
            last_name: last.to_owned(),
            email: email.to_owned(),
            phone: None,
            mobile: None,
            active: true,
            departments: self.departments.keys().copied().collect(),
        };
        fill(&mut agent);
        agent.id = id;
        self.agents.insert(id, agent);
        id
    }

    /// Takes an agent out of service: listed as `DISABLED`, and no ticket can be given to them.
    pub fn deactivate_agent(&mut self, id: u64) {
        if let Some(agent) = self.agents.get_mut(&id) {
            agent.active = false;
        }
    }

    /// All agents by id, deactivated ones too.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// Whether a ticket of this department can be given to them.
    pub(super) fn can_be_assigned(&self, agent: u64, department: u64) -> bool {
        self.agents.get(&agent).is_some_and(|agent| agent.active && agent.departments.contains(&department))
    }

    pub(super) fn list_agents(&self, request: &Request) -> Answer {
        let known = ["status", "sortOrder", "include", "isConfirmed", "isLightAgent", "searchStr", "fieldName"];
        let page = Page::of(request, &self.settings, 10, 200, &known)?;
        let active = match request.param("status") {
            None => None,
            Some("ACTIVE") => Some(true),
            Some("DISABLED") => Some(false),
            Some(_) => return Err(invalid("status")),
        };
        let listed = self.agents.values().filter(|agent| active.is_none_or(|wanted| agent.active == wanted));
        page.cut(&self.settings, listed.map(shown))
    }

    pub(super) fn show_agent(&self, request: &Request, id: u64) -> Answer {
        only(request, &["include"])?;
        self.agents.get(&id).map(|agent| Reply::json(StatusCode::OK, &shown(agent))).ok_or_else(Refusal::not_found)
    }

    /// The one whose consent the token is from: the first agent.
    pub(super) fn show_myself(&self, request: &Request) -> Answer {
        self.show_agent(request, FIRST_AGENT)
    }

    fn department(id: u64, name: &str) -> Value {
        json!({"id": id.to_string(), "name": name, "isEnabled": true, "isDefault": id == Self::DEPARTMENT_ID,
            "nameInCustomerPortal": name, "isVisibleInCustomerPortal": false, "associatedAgentIds": []})
    }

    pub(super) fn list_departments(&self, request: &Request) -> Answer {
        let page = Page::of(request, &self.settings, 10, 200, &["isEnabled", "chatStatus", "searchStr"])?;
        page.cut(&self.settings, self.departments.iter().map(|(id, name)| Self::department(*id, name)))
    }

    pub(super) fn show_department(&self, request: &Request, id: u64) -> Answer {
        only(request, &[])?;
        let name = self.departments.get(&id).ok_or_else(Refusal::not_found)?;
        Ok(Reply::json(StatusCode::OK, &Self::department(id, name)))
    }

    pub(super) fn list_organizations(&self, request: &Request) -> Answer {
        only(request, &[])?;
        let organisation = json!({"id": self.org_id.to_string(), "companyName": "Acme", "portalName": "acme",
            "isDefault": true, "isAdminInOrg": true, "edition": "PROFESSIONAL"});
        Ok(Reply::json(StatusCode::OK, &json!({"data": [organisation]})))
    }
}
