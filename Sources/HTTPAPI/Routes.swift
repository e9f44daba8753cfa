// The table of routes, a file a service: a method, a path, how the path and the query fill the request message, and the
// call. A body, where one is given, is the request message as JSON; what the path says overrides it.
import Contract

func makeRoutes(_ clients: ServiceClients) -> [Route] {
    authRoutes(clients.auth) + profileRoutes(clients.profiles) + avatarRoutes(clients.profiles)
        + settingsRoutes(clients.settings) + friendshipRoutes(clients.friendship) + inboxRoutes(clients.inbox)
        + gatewayRoutes(clients.gateway)
}

/// What `makeRoutes` serves, for the API's description. Nothing is called.
public func summarizeRoutes(_ clients: ServiceClients) -> [RouteSummary] {
    makeRoutes(clients).compactMap(\.summary)
}
