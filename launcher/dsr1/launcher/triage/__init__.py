"""Why a deployment failed: rules as data, and the judgement of what all hosts showed. Pure."""
