//! The devices, played by durable keys: the firmware that each has, and the one before.
//!
//! A device whose name begins with `broken` takes no firmware; one that begins with `shy` takes it the second time.

use crate::home;
use crate::plexspaces::actor::conversation::current_message;
use crate::plexspaces::actor::keyvalue::{get, increment, put};
use crate::plexspaces::actor::logging::info;
use crate::plexspaces::actor::types::ActorError;

/// `flash DEVICE FIRMWARE` or `restore DEVICE`.
pub fn activity(text: &str) -> Result<String, String> {
    if header("possibly-repeated") == "true" {
        info(&format!("{text}: this may have been done before the node ended"));
    }
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["flash", device, _] if device.starts_with("broken") => Err("takes no firmware".to_owned()),
        ["flash", device, _] if device.starts_with("shy") && header("attempt") == "1" => {
            Err("is busy".to_owned())
        }
        ["flash", device, firmware] => flash(device, firmware),
        ["restore", device] => restore(device),
        _ => Err(format!("no such activity: {text}")),
    }
}

/// Doing it twice is as good as once: who has the firmware is left alone.
fn flash(device: &str, firmware: &str) -> Result<String, String> {
    let before = version(device)?;
    if before != firmware {
        set(&key(device, "before"), &before)?;
        set(&key(device, "firmware"), firmware)?;
        increment(&home(), &key(device, "flashed"), 1).map_err(said)?;
    }
    Ok(firmware.to_owned())
}

fn restore(device: &str) -> Result<String, String> {
    let before = read(&key(device, "before"))?;
    set(&key(device, "firmware"), &before)?;
    Ok(before)
}

/// The firmware that a device has.
pub fn version(device: &str) -> Result<String, String> {
    read(&key(device, "firmware"))
}

fn key(device: &str, what: &str) -> String {
    format!("{device}/{what}")
}

/// What nobody has set is the firmware that devices are made with.
fn read(key: &str) -> Result<String, String> {
    let value = get(&home(), key).map_err(said)?;
    Ok(value.map_or("1.0.0".to_owned(), |value| String::from_utf8_lossy(&value).into_owned()))
}

fn set(key: &str, value: &str) -> Result<(), String> {
    put(&home(), key, value.as_bytes()).map_err(said)
}

/// What the message that asks for the activity says beside its payload.
fn header(name: &str) -> String {
    let headers = current_message().map(|message| message.headers).unwrap_or_default();
    let found = headers.into_iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value).unwrap_or_default()
}

fn said(error: ActorError) -> String {
    error.message
}
