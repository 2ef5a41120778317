"""The demo: sample jobs written for this project, and a stand-in model server that identifies itself as one."""
