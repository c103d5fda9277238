//! A small blocking JSON-RPC client for the commands and the playground. HTTP only: it talks to this machine.

use {
    serde::de::DeserializeOwned,
    serde_json::{Value, json},
    std::{net::SocketAddr, time::Duration},
};

#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    #[error("{url}: {reason}")]
    Transport { url: String, reason: String },
    #[error("{method} refused ({code}): {message}")]
    Refused { method: String, code: i64, message: String, data: Value },
}

#[derive(Clone)]
pub struct RpcClient {
    url: String,
    agent: ureq::Agent,
}

impl RpcClient {
    pub fn new(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build();
        Self { url: format!("http://{address}"), agent: config.into() }
    }

    /// A node by its URL. `Err`: why that is none this client can ask.
    pub fn at(url: &str) -> Result<Self, String> {
        let parsed: ureq::http::Uri = url.parse().map_err(|error| format!("{error}"))?;
        match (parsed.scheme_str(), parsed.host()) {
            (Some("http"), Some(_)) => {}
            (Some(_), _) => return Err("only http:// is spoken here".to_owned()),
            (None, _) => return Err("it has no scheme and host".to_owned()),
        }
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build();
        Ok(Self { url: url.to_owned(), agent: config.into() })
    }

    pub fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        let transport = |reason: String| RpcError::Transport { url: self.url.clone(), reason };
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut response = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .send(request.to_string())
            .map_err(|error| transport(error.to_string()))?;
        let text = response.body_mut().read_to_string().map_err(|error| transport(error.to_string()))?;
        let mut reply: Value = serde_json::from_str(&text).map_err(|error| transport(format!("{error}: {text}")))?;
        if let Some(error) = reply.get("error").filter(|error| !error.is_null()) {
            return Err(RpcError::Refused {
                method: method.to_owned(),
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                data: error["data"].clone(),
            });
        }
        let result = reply.get_mut("result").map(Value::take).unwrap_or(Value::Null);
        serde_json::from_value(result).map_err(|error| transport(format!("unexpected reply to {method}: {error}")))
    }
}
