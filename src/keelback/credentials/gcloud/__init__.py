"""Access tokens of Google Cloud, from everywhere that its own libraries look.

It is keelback's own code, and not ``google-auth``: that sends what a credential file holds to whatever ``token_url``
the file names, and opens connections of its own. Here, secrets go to Google's hosts alone, and over the one client.
"""
