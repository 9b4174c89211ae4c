"""What commands and console both do for the person who runs the bridge, on the parts of one process.

Looks at everything that the bridge needs (`checks`, `probes`), follows a test charge (`trial_run`), sets the webhook up
(`webhook_plan`), explains a mapping (`explained`), changes one (`mapping_changes`). It prints nothing and knows no
language but the English of its own texts: whoever shows a result words it by its code.
"""
