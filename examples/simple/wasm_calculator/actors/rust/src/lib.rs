//! The calculator actor in Rust: the same answers as the Python one, from a far smaller component.

use std::ops::{Add, Div, Mul, Sub};

use serde::Serialize;
use serde_json::Value;

wit_bindgen::generate!({
    path: "../../../../../wit/plexspaces-actor",
    world: "request-actor",
});

struct Calculator;

export!(Calculator);

impl Guest for Calculator {
    fn handle_request(
        _from_actor: ActorId,
        _msg_type: String,
        payload: Payload,
    ) -> Result<Payload, String> {
        let answer = answer(&payload).unwrap_or_else(|error| Answer::Refusal { error });
        serde_json::to_vec(&answer).map_err(|error| error.to_string())
    }
}

/// What is sent back; a refusal is an answer like any other.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Result { result: f64, operation: String },
    Refusal { error: String },
}

fn answer(payload: &[u8]) -> Result<Answer, String> {
    let (operation, operands) = parse(payload)?;
    let result = calculate(&operation, &operands)?;
    Ok(Answer::Result { result, operation })
}

fn parse(payload: &[u8]) -> Result<(String, Vec<f64>), String> {
    let request: Value =
        serde_json::from_slice(payload).map_err(|_| "the request is not valid JSON")?;
    let request = request
        .as_object()
        .ok_or("the request is not a JSON object")?;

    let operation = request
        .get("operation")
        .and_then(Value::as_str)
        .ok_or("operation must be a string")?;
    let operands = request
        .get("operands")
        .and_then(Value::as_array)
        .and_then(|operands| operands.iter().map(Value::as_f64).collect())
        .ok_or("operands must be a list of numbers")?;
    Ok((operation.to_owned(), operands))
}

/// Works from left to right.
fn calculate(operation: &str, operands: &[f64]) -> Result<f64, String> {
    let apply = match operation {
        "add" => f64::add,
        "subtract" => f64::sub,
        "multiply" => f64::mul,
        "divide" => f64::div,
        _ => return Err(format!("unknown operation: {operation}")),
    };
    if operation == "divide" {
        match operands {
            [_, 0.0] => return Err("division by zero".to_owned()),
            [_, _] => {}
            _ => return Err("divide takes exactly two operands".to_owned()),
        }
    }

    let result = operands
        .iter()
        .copied()
        .reduce(apply)
        .ok_or_else(|| format!("{operation} takes at least one operand"))?;
    if !result.is_finite() {
        return Err("the result is too large".to_owned());
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_gets_its_answer() {
        let cases = include_str!("../../cases.txt");
        for case in cases.lines().filter(|line| !line.starts_with('#')) {
            let (request, expected) = case.split_once(" => ").expect("a case has an arrow");
            let reply = Calculator::handle_request(
                "tester".to_owned(),
                "call".to_owned(),
                request.as_bytes().to_vec(),
            );
            assert_eq!(reply.as_deref(), Ok(expected.as_bytes()), "{case}");
        }
    }
}
