"""The demo's world: sample jobs written for this project, and a stand-in model server that says it is one."""
