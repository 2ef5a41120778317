"""People's decisions about facts: what a reviewer sees of one, how a decision is made of a form, how well it goes."""
