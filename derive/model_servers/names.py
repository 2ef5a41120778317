"""Names of a model server and its settings in error messages, so that each says what to change and where."""

from dataclasses import dataclass

from derive.model_servers.settings import ModelSettings, Protocol
from derive.model_servers.wire import quotable, without_credentials


@dataclass(frozen=True, slots=True)
class ServerNames:
    """Names for one server. ``server`` begins or ends a clause; the others name a setting or say what to do."""

    server: str
    url: str
    key: str
    ca_file: str
    slots: str
    model: str
    start: str
    get_model: str
    """How to install a model on the server; ``{model}`` is replaced by its name."""

    def how_to_get(self, model: str) -> str:
        """Return how to install the model on the server."""
        return self.get_model.replace("{model}", quotable(model))


def names_of(settings: ModelSettings) -> ServerNames:
    """Return the names for the server of these settings."""
    address = quotable(without_credentials(settings.base_url))
    is_ollama = settings.protocol is Protocol.OLLAMA
    kind = "Ollama" if is_ollama else "the model server"
    get_model = "run `ollama pull {model}`" if is_ollama else "serve it there"
    start = "start it with `ollama serve`" if is_ollama else "start it"
    if settings.endpoint is None:
        return ServerNames(
            server=f"{kind} at {address}",
            url="OLLAMA_BASE_URL",
            key="OLLAMA_API_KEY, or user and password in OLLAMA_BASE_URL,",
            ca_file="OLLAMA_CA_FILE",
            slots="WORKER_CONCURRENCY",
            model="OLLAMA_MODEL",
            start=start,
            get_model=get_model,
        )
    of_endpoint = f"of endpoint '{settings.endpoint}' in HOLOCRON_ENDPOINTS"
    return ServerNames(
        server=f"{kind} at {address} (endpoint '{settings.endpoint}')",
        url=f"url {of_endpoint}",
        key=f"the variable that api_key_env {of_endpoint} names",
        ca_file=f"ca_file {of_endpoint}",
        slots=f"slots {of_endpoint}",
        model=f"OLLAMA_MODEL, or models {of_endpoint},",
        start=start,
        get_model=get_model,
    )
