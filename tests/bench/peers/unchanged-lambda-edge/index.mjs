// Decides nothing: what a function costs that hands CloudFront the request as it was.

export const handler = async (event) => event.Records[0].cf.request;
