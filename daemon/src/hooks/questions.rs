//! What goes to a plugin and what it answers, whatever carries the lines.

use std::collections::HashMap;

use p2p_hooks::clean;
use p2p_wire::control::{Answer as Reply, PluginAnswer};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;

use super::Terms;
use super::plugins::Request;
use super::run::Answer;

/// The questions to one plugin that are under way.
#[derive(Default)]
pub(super) struct Questions {
    last_id: u64,
    asked: HashMap<u64, oneshot::Sender<Answer>>,
}

impl Questions {
    /// The line of a request, and whom to tell when it is written.
    pub(super) fn line(&mut self, request: Request) -> (String, Option<oneshot::Sender<()>>) {
        let params = |body: &str| serde_json::from_str(body).unwrap_or_default();
        match request {
            Request::Event(body, written) => (line_of(None, "event", params(&body)), Some(written)),
            Request::Ask(gate, body, reply) => {
                let method = format!("gate.{}", gate.name());
                let (id, line) = self.call(&method, params(&body));
                // Those who gave up wait for no answer.
                self.asked.retain(|_, asked| !asked.is_closed());
                self.asked.insert(id, reply);
                (line, None)
            }
        }
    }

    /// A request of which the caller watches for the answer with this id.
    pub(super) fn call(&mut self, method: &str, params: Value) -> (u64, String) {
        self.last_id += 1;
        (self.last_id, line_of(Some(self.last_id), method, params))
    }

    /// Hands an answer to who asked; what answers nothing is passed over.
    pub(super) fn hear(&mut self, reply: Reply) {
        let asked = reply.id.and_then(|id| self.asked.remove(&id));
        if let Some(asked) = asked {
            // Who asked may have given up.
            let _ = asked.send(answer(reply));
        }
    }
}

fn line_of(id: Option<u64>, method: &str, params: Value) -> String {
    #[derive(Serialize)]
    struct Call<'a> {
        jsonrpc: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        method: &'a str,
        params: Value,
    }
    let call = Call {
        jsonrpc: "2.0",
        id,
        method,
        params,
    };
    let mut line = serde_json::to_string(&call).expect("texts are the only keys");
    line.push('\n');
    line
}

/// What a plugin's answer at a gate means.
fn answer(reply: Reply) -> Answer {
    if let Some(error) = reply.error {
        return Answer::Failed(clean(&error.message));
    }
    let answer = serde_json::from_value(reply.result.unwrap_or_default());
    let answer: PluginAnswer = match answer {
        Ok(answer) => answer,
        Err(error) => return Answer::Failed(format!("its answer cannot be read: {error}")),
    };
    let reason = clean(answer.reason.as_deref().unwrap_or("it gave no reason"));
    match (answer.allow, answer.later) {
        (true, _) => {
            let terms = Terms {
                pause: answer.pause,
                dir: answer.dir,
                leave_out: answer.leave_out,
            };
            terms.checked().map_or_else(Answer::Failed, Answer::Ok)
        }
        (false, true) => Answer::Later(reason),
        (false, false) => Answer::Refused(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::Gate;
    use serde_json::json;

    fn answered(result: Value) -> Answer {
        let (reply, mut heard) = oneshot::channel();
        let mut questions = Questions::default();
        let body = json!({"event": "pre-add"}).to_string();
        let (line, _) = questions.line(Request::Ask(Gate::PreAdd, body, reply));
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["method"], "gate.pre-add");
        questions.hear(Reply {
            jsonrpc: "2.0".into(),
            id: line["id"].as_u64(),
            result: Some(result),
            error: None,
        });
        heard.try_recv().unwrap()
    }

    #[test]
    fn an_answer_allows_refuses_or_puts_off() {
        let yes = json!({"allow": true});
        assert_eq!(answered(yes), Answer::Ok(Terms::default()));
        let no = json!({"allow": false, "reason": "in\u{1b}fected"});
        assert_eq!(answered(no), Answer::Refused("in\\u{1b}fected".into()));
        let later = json!({"allow": false, "later": true, "reason": "busy"});
        assert_eq!(answered(later), Answer::Later("busy".into()));
        let relative = json!({"allow": true, "dir": "x"});
        for bad in [json!(null), json!({"ok": true}), relative] {
            assert!(matches!(answered(bad), Answer::Failed(_)));
        }
    }
}
