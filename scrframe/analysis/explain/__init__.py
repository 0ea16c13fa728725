"""Why a visit, a CCD or a star has its offset."""
