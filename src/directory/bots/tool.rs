//! A bot's own tools, as they are given and shown: the values of their headers go in and never come out.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hidden;
use crate::{
    config::tool::{HttpTool, Method, TOOLS},
    directory::agent::Problem,
};

/// A tool as it is to be. Of one that is there already, its headers that are not named stay, `null` takes one away.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolPatch {
    name: String,
    /// By which the model decides when to use it.
    description: String,
    /// JSON Schema of its arguments: of an object.
    #[serde(default)]
    parameters: Option<Value>,
    /// Asked with `{"call_sid","bot","tool","arguments",…}`.
    url: String,
    #[serde(default)]
    method: Method,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    #[serde(default)]
    timeout_seconds: Option<u32>,
}

impl fmt::Debug for ToolPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolPatch({})", self.name)
    }
}

/// A tool, without its credentials.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ToolShown {
    pub name: String,
    pub description: String,
    pub parameters: Value,
    /// Its query is hidden.
    pub url: String,
    pub method: Method,
    /// Their names.
    pub headers: Vec<String>,
    pub timeout_seconds: u32,
}

pub(super) fn shown(tool: &HttpTool) -> ToolShown {
    ToolShown {
        name: tool.name.clone(),
        description: tool.description.clone(),
        parameters: tool.parameters.clone(),
        url: hidden::address(&tool.url, &[]).unwrap_or_default(),
        method: tool.method,
        headers: tool.headers.keys().cloned().collect(),
        timeout_seconds: tool.timeout_seconds,
    }
}

/// All tools of a bot as they are then.
pub(super) fn onto(given: &[ToolPatch], were: &[HttpTool], problems: &mut Vec<Problem>) -> Vec<HttpTool> {
    let mut tools: Vec<HttpTool> = Vec::new();
    for (at, patch) in given.iter().enumerate() {
        let tool = patch.onto(were.iter().find(|were| were.name == patch.name));
        let mut wrong =
            |field: &str, message: String| problems.push(Problem::new(&format!("tools[{at}].{field}"), message));
        for (field, message) in tool.problems() {
            wrong(&field, message);
        }
        if tools.iter().any(|other| other.name == tool.name) {
            wrong("name", format!("{:?} is the name of another tool of this bot", tool.name));
        }
        tools.push(tool);
    }
    if tools.len() > TOOLS {
        problems.push(Problem::new("tools", format!("at most {TOOLS}")));
    }
    tools
}

impl ToolPatch {
    fn onto(&self, was: Option<&HttpTool>) -> HttpTool {
        let mut headers = was.map(|was| was.headers.clone()).unwrap_or_default();
        for (name, value) in &self.headers {
            let name = name.to_ascii_lowercase();
            match value {
                Some(value) => drop(headers.insert(name, value.clone())),
                None => drop(headers.remove(&name)),
            }
        }
        // Who sends back what he was shown means what there is.
        let url = match was.filter(|was| shown(was).url == self.url) {
            Some(was) => was.url.clone(),
            None => self.url.trim().to_owned(),
        };
        HttpTool {
            name: self.name.clone(),
            description: self.description.clone(),
            parameters: self.parameters.clone().unwrap_or_else(HttpTool::no_parameters),
            url,
            method: self.method,
            headers,
            timeout_seconds: self.timeout_seconds.unwrap_or(HttpTool::TIMEOUT_SECONDS),
        }
    }
}
