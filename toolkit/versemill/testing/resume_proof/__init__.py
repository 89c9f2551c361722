"""`verify-resume`: proves that a killed job ends as if nothing had happened."""
