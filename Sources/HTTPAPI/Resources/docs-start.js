// Starts Swagger UI on the API's description. What one enters stays in the page.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#api", deepLinking: true, docExpansion: "list", validatorUrl: null });
