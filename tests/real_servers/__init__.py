"""Client and worker against real model servers, which serve a tiny model that the tests write themselves."""
