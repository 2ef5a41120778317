"""The file of model servers: what it may say, and the one line when it says something else."""

from pathlib import Path

import pytest

from derive.errors import ConfigurationError
from derive.model_servers.endpoints import EndpointSettings, read_endpoints
from derive.model_servers.settings import ModelSettings, Protocol

KEY = "sk-canary-of-an-endpoint"
ONE = '[[endpoint]]\nname = "gpu"\nurl = "http://10.0.0.7:11434/"\n'


def read(tmp_path: Path, text: str | bytes, **environment: str) -> tuple[EndpointSettings, ...]:
    file = tmp_path / "endpoints.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_endpoints(file, environment=environment, defaults=ModelSettings(num_ctx=4096, idle_seconds=7))


def test_an_endpoint_has_its_own_values_and_otherwise_the_settings(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    text = ONE + (
        '[[endpoint]]\nname = "v"\nurl = "https://v.example/v1"\nprotocol = "openai"\nslots = 16\n'
        'models = ["b", "c"]\napi_key_env = "V_KEY"\nca_file = "ca.pem"\n'
    )
    gpu, other = read(tmp_path, text, V_KEY=KEY)
    assert (gpu.name, gpu.slots, gpu.models) == ("gpu", 1, ())
    assert gpu.server == ModelSettings(endpoint="gpu", base_url="http://10.0.0.7:11434", num_ctx=4096, idle_seconds=7)
    assert (other.slots, other.models, other.server.protocol) == (16, ("b", "c"), Protocol.OPENAI)
    assert other.server.authorization is not None
    assert other.server.authorization.get_secret_value() == f"Bearer {KEY}"
    assert other.server.ca_file == str(tmp_path / "ca.pem")
    assert KEY not in f"{other!r}"


@pytest.mark.parametrize(
    ("models", "model"), [("[]", "llama3.2"), ('["b", "llama3.2:latest"]', "llama3.2"), ('["b", "c"]', "b")]
)
def test_a_job_without_a_model_is_answered_by_the_configured_one_or_by_the_first(
    tmp_path: Path, models: str, model: str
) -> None:
    (endpoint,) = read(tmp_path, f"{ONE}models = {models}\n")
    assert endpoint.server.model == model


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "endpoint: is missing"),
        ("[[endpoint]]\n", "endpoint 1, name: is missing"),
        (ONE + "slot = 1\n", "endpoint 1, slot: is not known: write name, url, protocol, slots"),
        ("x = 1\n" + ONE, "x: is not known"),
        (ONE + ONE, "two endpoints are named 'gpu'"),
        (ONE + "slots = 0\n", "endpoint 1, slots: Input should be greater than or equal to 1"),
        (ONE + "slots = -3\n", "slots"),
        (ONE + "slots = 1001\n", "less than or equal to 1000"),
        (ONE + 'slots = "4"\n', "slots"),
        (ONE + 'protocol = "grpc"\n', "endpoint 1, protocol: write ollama or openai"),
        (ONE + 'models = [""]\n', "models, 1"),
        (ONE + f'api_key_env = "{KEY}"\n', "write the name of an environment variable that holds the key"),
        (ONE + 'api_key_env = "GPU_KEY"\n', "endpoint 'gpu': the variable that api_key_env names is not set"),
        (ONE + 'api_key_env = "BLANKS"\n', "endpoint 'gpu': the key must be of ASCII characters"),
        (ONE + 'ca_file = "nowhere.pem"\n', "nowhere.pem is not there"),
        (ONE.replace("http://", f"http://ada:{KEY}@"), "endpoint 1, url: drop user and password from the url"),
        (ONE.replace("http://", f"http://{KEY}@"), "name a variable with the key by api_key_env"),
        (ONE.replace("http", "ftp"), "endpoint 1, url: write an address such as"),
        (ONE.replace('/"', f'/?key={KEY}"'), "without query or fragment"),
        (ONE.replace("11434", "99999"), "write an address"),
        (ONE.replace('"gpu"', '"g p u"'), "endpoint 1, name: write at most 60 letters"),
        ("[[endpoint]\n", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_an_unusable_file_is_reported_in_one_line_without_secrets(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text, BLANKS=f"{KEY} {KEY}")
    line = str(caught.value)
    assert line.startswith(f"HOLOCRON_ENDPOINTS: {tmp_path}/endpoints.toml")
    assert said in line
    assert line.isprintable()
    assert KEY not in line


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read \(No such file or directory\): name a file that can"):
        read_endpoints(tmp_path / "none.toml", environment={}, defaults=ModelSettings())
