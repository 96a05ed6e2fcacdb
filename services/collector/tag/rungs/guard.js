// The tag never throws into the page: whatever the page or the browser calls goes through here.

export const guard = (work) =>
  function () {
    try {
      return work.apply(this, arguments);
    } catch (error) {}
  };

export const listen = (target, type, work) => target.addEventListener(type, guard(work), true);
