import wit_world


class WitWorld(wit_world.WitWorld):
    def handle_request(self, from_actor: str, msg_type: str, payload: bytes) -> bytes:
        name = payload.decode()
        return f"Hello, {name}!".encode()
