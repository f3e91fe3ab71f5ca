"""Two-stage training of rsmoe packages: stage 1 (connector and base delta), stage 2 (router and expert adapters)."""
