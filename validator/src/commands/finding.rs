//! What a checking command found: one fact, a verdict, why, and the command that mends it.

use {crate::exit::Failure, serde::Serialize, serde_json::json, std::fmt::Display};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at, as `certificate certs/validator.pem`.
    pub subject: String,
    pub verdict: Verdict,
    /// What is there.
    pub fact: String,
    /// Why that is not well.
    pub reason: Option<String>,
    /// The command or the change that mends it.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(subject: impl Display, fact: impl Display) -> Self {
        Self::new(Verdict::Ok, subject, fact)
    }

    pub fn warn(subject: impl Display, fact: impl Display, reason: impl Display, remedy: impl Display) -> Self {
        Self::new(Verdict::Warn, subject, fact).because(reason, remedy)
    }

    pub fn fail(subject: impl Display, fact: impl Display, reason: impl Display, remedy: impl Display) -> Self {
        Self::new(Verdict::Fail, subject, fact).because(reason, remedy)
    }

    fn new(verdict: Verdict, subject: impl Display, fact: impl Display) -> Self {
        Self { subject: subject.to_string(), verdict, fact: one_line(&fact.to_string()), reason: None, remedy: None }
    }

    fn because(self, reason: impl Display, remedy: impl Display) -> Self {
        Self { reason: Some(one_line(&reason.to_string())), remedy: Some(remedy.to_string()), ..self }
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Prints all findings; an error when one of them is a failure.
pub fn report(findings: &[Finding], as_json: bool) -> Result<(), Failure> {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (ok, warned, failed) = (count(Verdict::Ok), count(Verdict::Warn), count(Verdict::Fail));
    if as_json {
        println!("{}", json!({ "ok": ok, "warn": warned, "fail": failed, "findings": findings }));
    } else {
        for finding in findings {
            let mark = match finding.verdict {
                Verdict::Ok => "ok  ",
                Verdict::Warn => "WARN",
                Verdict::Fail => "FAIL",
            };
            println!("{mark}  {}: {}", finding.subject, finding.fact);
            if let Some(reason) = &finding.reason {
                println!("      why:    {reason}");
            }
            if let Some(remedy) = &finding.remedy {
                println!("      remedy: {remedy}");
            }
        }
        println!("{ok} ok, {warned} to watch, {failed} wrong");
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::failed("1 check failed").remedy("do what its remedy says, and ask again")),
        more => {
            Err(Failure::failed(format!("{more} checks failed")).remedy("do what their remedies say, and ask again"))
        }
    }
}
