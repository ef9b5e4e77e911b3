wit_bindgen::generate!({ path: "wit", world: "request-actor" });

struct Actor;

export!(Actor);

impl Guest for Actor {
    fn handle_request(_from: ActorId, _type: String, payload: Payload) -> Result<Payload, String> {
        let name = String::from_utf8_lossy(&payload);
        Ok(format!("Hello, {name}!").into_bytes())
    }
}
