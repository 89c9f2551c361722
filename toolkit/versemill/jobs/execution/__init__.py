"""The workers' side: everything that happens to a job that is claimed."""
