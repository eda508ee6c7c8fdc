"""GraphiQL, served from files in this folder, with nothing fetched from elsewhere."""

from api.graphiql.serving import assets, page, sign_in

__all__ = ["assets", "page", "sign_in"]
