"""The same model behind other servers, each with the settings that its documentation advises."""
