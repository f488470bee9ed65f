"""The verbs as commands: `holdfast VERB MODEL DATA [options]`. A verb's module is imported when the verb is called."""
