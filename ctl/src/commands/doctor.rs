//! `doctor`: what is wrong, and the command that mends it.

use p2p_wire::control::{Finding, Level};

use crate::client::{CLIENT, Client};
use crate::context::Context;
use crate::error::Error;
use crate::output::Format;
use crate::table::Columns;

/// Looks, and prints what it found. Ends with 1 where something does not work.
pub(crate) fn run(context: &Context) -> Result<(), Error> {
    let findings = examine(context)?;
    if context.out.format == Format::Human {
        context.out.lines(&lines(&findings))?;
    } else {
        context.out.list(&findings, &columns())?;
    }
    match findings.iter().any(|finding| finding.level == Level::Fault) {
        true => Err(Error::Quiet(1)),
        false => Ok(()),
    }
}

fn examine(context: &Context) -> Result<Vec<Finding>, Error> {
    let socket = context.socket();
    let at = socket.path.display().to_string();
    let mut client = match context.connect_to(socket) {
        Ok(client) => client,
        Err(Error::Told(told)) => {
            let text = format!("{}. {}", told.what, told.why);
            return Ok(vec![Finding::fault("socket", text, told.fix)]);
        }
        Err(error) => return Err(error),
    };
    let welcome = client.welcome();
    let mut findings = vec![
        Finding::ok("socket", format!("{} answers at {at}.", welcome.server)),
        versions(&welcome.server),
    ];
    match welcome.unhealthy.clone() {
        Some(reason) => findings.push(Finding::fault(
            "daemon",
            format!("p2pd did not start: {reason}"),
            "p2pctl daemon restart",
        )),
        None => findings.extend(ask(&mut client)?),
    }
    Ok(findings)
}

fn ask(client: &mut Client) -> Result<Vec<Finding>, Error> {
    client.call("daemon.doctor", ())
}

/// Both come in one package; they differ where the daemon runs on after an update.
fn versions(server: &str) -> Finding {
    let number = |name: &str| name.rsplit(' ').next().map(str::to_owned);
    match number(server) == number(CLIENT) {
        true => Finding::ok(
            "versions",
            format!("{CLIENT} and {server} are of one version."),
        ),
        false => Finding::warning(
            "versions",
            format!("{CLIENT} talks to {server}, which is another version."),
            "p2pctl daemon restart",
        ),
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Fault => "fault",
    }
}

fn lines(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in findings {
        let (level, check) = (level(finding.level), &finding.check);
        lines.push(format!("{level:<9}{check:<11}{}", finding.text));
        if let Some(fix) = &finding.fix {
            lines.push(format!("{:20}Mend it:  {fix}", ""));
        }
    }
    lines
}

fn columns() -> Columns<'static, Finding> {
    Columns::new()
        .left("level", "LEVEL", |f: &Finding| level(f.level).to_owned())
        .left("check", "CHECK", |f| f.check.clone())
        .left("text", "FOUND", |f| f.text.clone())
        .left("fix", "MEND IT", |f| f.fix.clone().unwrap_or_default())
}
